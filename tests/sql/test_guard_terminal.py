"""guard_terminal: a terminal delivery never changes, not even by its owner's hand."""

import pytest
from engine import Connection, configure, delivery_in, insert, look

from chimewayd.errors import TransitionRefused
from chimewayd.models import Status

pytestmark = pytest.mark.anyio

TERMINAL = [Status.SUCCEEDED, Status.SUPPRESSED, Status.CANCELLED]
CHANGES = [
    "status = 'failed', finished_at = null, suppression_reason = null",
    "status = 'pending', series = series + 1, finished_at = null, suppression_reason = null",
    "recipient = 'someone else'",
    "updated_at = now()",
]


@pytest.fixture(autouse=True)
async def channel(unchecked: Connection) -> None:
    """Configure channel email."""
    await configure(unchecked)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("status", TERMINAL)
async def test_terminal_delivery_refuses_any_update(
    connection: Connection, status: Status, change: str
) -> None:
    delivery_id = await delivery_in(connection, status)
    before = await look(connection, delivery_id)

    with pytest.raises(TransitionRefused, match=f"{delivery_id} cannot move from {status} to"):
        await connection.execute(f"update chimeway.deliveries set {change}")  # noqa: S608 - the list above

    assert await look(connection, delivery_id) == before


async def test_delivery_that_waits_may_be_changed_by_its_owner(connection: Connection) -> None:
    delivery_id = await insert(connection)

    await connection.execute("update chimeway.deliveries set recipient = 'bob'")

    assert (await look(connection, delivery_id))["recipient"] == "bob"


@pytest.mark.parametrize("more", [-1, 0, 1])
async def test_event_of_an_earlier_replay_does_not_open_the_gate(
    connection: Connection, more: int
) -> None:
    delivery_id = await delivery_in(connection, Status.CANCELLED)
    await connection.execute("select chimeway.replay($1, 'ops')", delivery_id)
    await connection.execute("select chimeway.cancel($1, 'again', 'ops')", delivery_id)

    with pytest.raises(TransitionRefused):
        await connection.execute(
            "update chimeway.deliveries set status = 'pending', finished_at = null, "
            "suppression_reason = null, series = series + $1",
            more,
        )
