"""release: a held delivery goes on when it is due."""

from datetime import UTC, datetime, timedelta

import pytest
from engine import (
    Bell,
    Connection,
    claim,
    configure,
    ended,
    events_of,
    insert,
    jobs_of,
    look,
    operate,
)

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
async def channel(unchecked: Connection) -> None:
    """Configure channel email."""
    await configure(unchecked)


async def test_released_delivery_is_claimed_again_and_rings(
    connection: Connection, bell: Bell
) -> None:
    delivery_id = await insert(connection)
    await operate(connection, "hold", delivery_id, "wait", "ops")
    await bell.rings()
    await bell.arm()

    answer = await operate(connection, "release", delivery_id, "ada")

    assert tuple(answer) == (True, "pending", "released")
    assert await bell.rings() == 1
    assert (await events_of(connection, delivery_id))[-1]["event"] == "released"
    assert [d.delivery_id for d in await claim(connection)] == [delivery_id]


async def test_released_retry_is_due_when_it_was(connection: Connection) -> None:
    delivery_id = await ended(connection, "temporary")
    await operate(connection, "hold", delivery_id, "wait", "ops")

    await operate(connection, "release", delivery_id, "ops")

    (job,) = await jobs_of(connection, delivery_id)
    assert job["due_at"] == (await look(connection, delivery_id))["next_attempt_at"]


async def test_released_delivery_waits_for_its_scheduled_moment(connection: Connection) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    delivery_id = await insert(connection, scheduled_at=later)
    await operate(connection, "hold", delivery_id, "wait", "ops")

    await operate(connection, "release", delivery_id, "ops")

    assert [job["due_at"] for job in await jobs_of(connection, delivery_id)] == [later]


async def test_release_of_what_is_not_held_changes_nothing(
    connection: Connection, bell: Bell
) -> None:
    delivery_id = await insert(connection)
    await bell.rings()
    await bell.arm()

    answer = await operate(connection, "release", delivery_id, "ops")

    assert tuple(answer) == (False, "pending", "not held: nothing changed")
    assert await bell.rings() == 0
