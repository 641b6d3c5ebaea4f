"""guard_history: attempts and events are written once."""

import pytest
from engine import Connection, configure, delivery_in

from chimewayd.errors import TransitionRefused
from chimewayd.models import Status

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "change",
    [
        "update chimeway.delivery_attempts set detail = 'it was fine'",
        "update chimeway.delivery_events set actor = 'nobody'",
        "update chimeway.delivery_attempts set response = null",
        "delete from chimeway.delivery_attempts",
        "delete from chimeway.delivery_events",
    ],
)
async def test_history_refuses_changes(connection: Connection, change: str) -> None:
    await configure(connection)
    await delivery_in(connection, Status.FAILED)
    await delivery_in(connection, Status.CANCELLED)

    with pytest.raises(TransitionRefused, match="is history: its rows are never changed"):
        await connection.execute(change)
