"""repair_stranded: what somebody took away is put back as it was."""

from datetime import timedelta

import pytest
from engine import Connection, claim, claim_one, configure, insert, look, move_clock

pytestmark = pytest.mark.anyio


async def test_suspect_is_a_suspect_again(unchecked: Connection) -> None:
    """Claimed together with others, it would take them with it."""
    await configure(unchecked)
    suspect = await claim_one(unchecked)
    for hours in (1, 2):
        await move_clock(unchecked, timedelta(hours=hours))
        await unchecked.execute("select chimeway.rescue(10)")
        if hours == 1:
            assert len(await claim(unchecked)) == 1
    await move_clock(unchecked, timedelta(hours=3))
    assert (await look(unchecked, suspect.delivery_id))["lost_count"] == 2
    await unchecked.execute("delete from chimeway.jobs")
    other = await insert(unchecked)

    await unchecked.execute("select chimeway.repair_stranded($1)", suspect.delivery_id)

    await unchecked.execute("select set_config('chimeway.floors', '', false)")  # look at all
    (free,) = await claim(unchecked, takes_suspect=False)
    (alone,) = await claim(unchecked)
    assert (free.delivery_id, alone.delivery_id) == (other, suspect.delivery_id)
