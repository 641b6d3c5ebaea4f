"""hold: an operator keeps a delivery that waits in the queue, unclaimed."""

from datetime import UTC, datetime, timedelta

import pytest
from engine import (
    Connection,
    claim,
    configure,
    ended,
    events_of,
    insert,
    jobs_of,
    look,
    move_clock,
    operate,
)

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
async def channel(unchecked: Connection) -> None:
    """Configure channel email."""
    await configure(unchecked)


async def test_held_delivery_keeps_its_state_and_is_not_claimed(connection: Connection) -> None:
    delivery_id = await insert(connection)

    answer = await operate(connection, "hold", delivery_id, "ask legal", "ada")

    (job,) = await jobs_of(connection, delivery_id)
    (event,) = await events_of(connection, delivery_id)
    await move_clock(connection, timedelta(days=365))
    assert tuple(answer) == (True, "pending", "held")
    assert job["due"] == "infinity"
    assert (event["event"], event["actor"], event["reason"]) == ("held", "ada", "ask legal")
    assert await claim(connection) == []


async def test_scheduled_delivery_can_be_held(connection: Connection) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    delivery_id = await insert(connection, scheduled_at=later)

    await operate(connection, "hold", delivery_id, "wait", "ops")

    assert [job["due"] for job in await jobs_of(connection, delivery_id)] == ["infinity"]


async def test_retry_can_be_held(connection: Connection) -> None:
    delivery_id = await ended(connection, "temporary")

    answer = await operate(connection, "hold", delivery_id, "wait", "ops")

    assert answer["status"] == "failed"
    assert [job["due"] for job in await jobs_of(connection, delivery_id)] == ["infinity"]


async def test_second_hold_changes_nothing(connection: Connection) -> None:
    delivery_id = await insert(connection)
    await operate(connection, "hold", delivery_id, "wait", "ops")
    before = await look(connection, delivery_id)

    answer = await operate(connection, "hold", delivery_id, "wait more", "ops")

    assert tuple(answer) == (False, "pending", "already held: nothing changed")
    assert len(await events_of(connection, delivery_id)) == 1
    assert await look(connection, delivery_id) == before
