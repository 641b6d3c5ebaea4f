"""take_job: finds a delivery's job wherever its state put it in the queue."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from engine import (
    Connection,
    claim_one,
    configure,
    delivery_in,
    ended,
    insert,
    jobs_of,
    operate,
)

from chimewayd.models import Status

pytestmark = pytest.mark.anyio

NOBODY = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


@pytest.fixture(autouse=True)
async def channel(unchecked: Connection) -> None:
    """Configure channel email."""
    await configure(unchecked)


async def take(connection: Connection, delivery_id: UUID) -> bool:
    """Take the job and say whether there was one; it is put back by a rollback."""
    transaction = connection.transaction()
    await transaction.start()
    had: bool = await connection.fetchval("select chimeway.take_job($1)", delivery_id)
    assert await jobs_of(connection, delivery_id) == []
    await transaction.rollback()
    return had


async def released(connection: Connection) -> UUID:
    delivery = await claim_one(connection)
    await connection.execute(
        "select chimeway.release_unsent('d1', $1, $2, 'stopping')",
        [delivery.delivery_id],
        [delivery.claim_id],
    )
    return delivery.delivery_id


async def test_job_that_is_due_at_once_is_found(connection: Connection) -> None:
    assert await take(connection, await insert(connection))


async def test_job_for_later_is_found(connection: Connection) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)

    assert await take(connection, await insert(connection, scheduled_at=later))


async def test_job_of_a_retry_is_found(connection: Connection) -> None:
    assert await take(connection, await ended(connection, "temporary"))


async def test_job_of_a_released_delivery_is_found(connection: Connection) -> None:
    assert await take(connection, await released(connection))


async def test_job_of_a_replayed_delivery_is_found(connection: Connection) -> None:
    delivery_id = await delivery_in(connection, Status.CANCELLED)
    await operate(connection, "replay", delivery_id, "ops")

    assert await take(connection, delivery_id)


async def test_job_of_a_held_delivery_is_found(connection: Connection) -> None:
    delivery_id = await ended(connection, "temporary")
    await operate(connection, "hold", delivery_id, "wait", "ops")

    assert await take(connection, delivery_id)


@pytest.mark.parametrize("status", [Status.DISPATCHED, Status.SUCCEEDED, Status.CANCELLED])
async def test_delivery_that_does_not_wait_has_none(connection: Connection, status: Status) -> None:
    delivery_id = await delivery_in(connection, status)
    await insert(connection)

    assert not await take(connection, delivery_id)

    assert await connection.fetchval("select count(*) from chimeway.jobs") == 1


async def test_unknown_delivery_has_none(connection: Connection) -> None:
    assert not await take(connection, NOBODY)
