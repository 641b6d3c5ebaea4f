"""pause_channel: nothing more is claimed, calls in flight end."""

import pytest
from engine import Connection, claim_one, configure, operate, record

from chimewayd.errors import DeliveryNotFound, InvalidArgument

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
async def channel(unchecked: Connection) -> None:
    """Configure channel email."""
    await configure(unchecked)


async def test_pause_says_who_and_why(connection: Connection) -> None:
    answer = await operate(connection, "pause_channel", "email", "relay down", "ada")

    row = await connection.fetchrow(
        "select paused_by, pause_reason, paused_at is not null from chimeway.channels"
    )
    assert row is not None
    assert tuple(answer) == (True, "paused")
    assert tuple(row) == ("ada", "relay down", True)


async def test_call_in_flight_is_recorded_on_a_paused_channel(connection: Connection) -> None:
    delivery = await claim_one(connection)
    await operate(connection, "pause_channel", "email", "relay down", "ada")

    assert (await record(connection, delivery)).verdict == "applied"


async def test_second_pause_keeps_the_first_ones_reason(connection: Connection) -> None:
    await operate(connection, "pause_channel", "email", "relay down", "ada")

    answer = await operate(connection, "pause_channel", "email", "lunch", "bob")

    assert answer["changed"] is False
    assert answer["message"].startswith("already paused by ada since ")
    assert " UTC: " in answer["message"]
    reason = await connection.fetchval("select pause_reason from chimeway.channels")
    assert reason == "relay down"


async def test_unknown_channel_is_refused(connection: Connection) -> None:
    with pytest.raises(DeliveryNotFound, match="no daemon has configured a channel fax"):
        await operate(connection, "pause_channel", "fax", "relay down", "ada")


@pytest.mark.parametrize(("reason", "actor"), [("", "ada"), ("relay down", " ")])
async def test_pause_wants_a_reason_and_an_actor(
    connection: Connection, reason: str, actor: str
) -> None:
    with pytest.raises(InvalidArgument, match=r"chimeway\.pause_channel: (reason|actor) must"):
        await operate(connection, "pause_channel", "email", reason, actor)
