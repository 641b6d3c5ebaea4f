"""repair_stranded: what somebody took away is put back as it was."""

from datetime import timedelta

import pytest
from engine import (
    Connection,
    claim,
    claim_one,
    configure,
    insert,
    look,
    move_clock,
    operate,
    record,
)

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


async def test_claim_that_is_in_order_is_not_locked(
    connection: Connection, other: Connection
) -> None:
    """Whoever forgets to commit it keeps one delivery waiting, and not a daemon."""
    await configure(connection)
    await insert(connection)
    await insert(connection)
    looked_at, beside = await claim(connection)
    await connection.execute("set lock_timeout = '1s'")

    async with other.transaction():
        done = await other.fetchval("select chimeway.repair_stranded($1)", looked_at.delivery_id)
        assert done is None
        beat = "select count(*) from chimeway.heartbeat(1, 'd1', '1', '{email}', $1, '1 minute')"
        assert await connection.fetchval(beat, [beside.claim_id]) == 0
        assert (await record(connection, beside)).verdict == "applied"


async def test_suspect_that_was_queued_again_can_be_stepped_into(connection: Connection) -> None:
    """Its job is found by what its row says, as any other's."""
    await configure(connection)
    suspect = await claim_one(connection)
    for hours in (1, 2):
        await move_clock(connection, timedelta(hours=hours))
        await connection.execute("select chimeway.rescue(10)")
        if hours == 1:
            assert len(await claim(connection)) == 1
    await move_clock(connection, timedelta(hours=3))
    await connection.execute("delete from chimeway.jobs")

    await connection.execute("select chimeway.repair_stranded($1)", suspect.delivery_id)

    answer = await operate(connection, "cancel", suspect.delivery_id, "kills daemons", "ada")
    assert answer["message"] == "cancelled"
