"""expire: what nobody claims ends when it is too late to send it."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from engine import (
    Connection,
    attempts_of,
    claim_one,
    configure,
    ended,
    events_of,
    insert,
    jobs_of,
    look,
    operate,
)

pytestmark = pytest.mark.anyio


def ago(**span: float) -> datetime:
    return datetime.now(UTC) - timedelta(**span)


async def expire(connection: Connection, limit: int = 10, **since: float) -> set[UUID]:
    rows = await connection.fetch(
        "select * from chimeway.expire($1, $2)", ago(**(since or {"days": 1})), limit
    )
    assert {row["channel"] for row in rows} <= {"email"}
    return {row["delivery_id"] for row in rows}


async def test_delivery_that_waits_past_its_expiry_is_cancelled(connection: Connection) -> None:
    delivery_id = await insert(connection, expires_at=ago(minutes=1))

    assert await expire(connection) == {delivery_id}

    row = await look(connection, delivery_id)
    (event,) = await events_of(connection, delivery_id)
    assert (row["status"], row["suppression_reason"]) == ("cancelled", "expired")
    assert (event["event"], event["actor"], event["reason"]) == ("expired", "sweep", "expired")
    assert await jobs_of(connection, delivery_id) == []
    assert await attempts_of(connection, delivery_id) == []


@pytest.mark.parametrize("columns", [{}, {"scheduled_at": datetime(2100, 1, 1, tzinfo=UTC)}])
async def test_held_and_scheduled_deliveries_expire_too(
    connection: Connection, columns: dict[str, Any]
) -> None:
    delivery_id = await insert(connection, expires_at=ago(minutes=1), **columns)
    if not columns:
        await operate(connection, "hold", delivery_id, "wait", "ops")

    assert await expire(connection) == {delivery_id}

    assert await jobs_of(connection, delivery_id) == []


async def test_failed_delivery_expires_with_the_attempts_it_had(connection: Connection) -> None:
    await configure(connection)
    soon = datetime.now(UTC) + timedelta(seconds=60)
    delivery_id = await ended(connection, "temporary", expires_at=soon)
    await connection.execute("set chimeway.test_clock_offset = '2 minutes'")

    assert await expire(connection) == {delivery_id}

    assert (await look(connection, delivery_id))["attempt_count"] == 1


async def test_call_in_flight_is_not_interrupted(connection: Connection) -> None:
    await configure(connection)
    soon = datetime.now(UTC) + timedelta(seconds=60)
    delivery = await claim_one(connection, expires_at=soon)
    await connection.execute("set chimeway.test_clock_offset = '2 minutes'")

    assert await expire(connection) == set()

    assert (await look(connection, delivery.delivery_id))["status"] == "dispatched"


async def test_what_has_not_expired_is_left_alone(connection: Connection) -> None:
    await insert(connection)
    await insert(connection, expires_at=datetime.now(UTC) + timedelta(minutes=1))

    assert await expire(connection) == set()


async def test_only_what_expired_since_is_looked_at(connection: Connection) -> None:
    await insert(connection, expires_at=ago(hours=3))
    recent = await insert(connection, expires_at=ago(minutes=5))

    assert await expire(connection, hours=1) == {recent}


async def test_expire_takes_no_more_than_its_limit(connection: Connection) -> None:
    for _ in range(3):
        await insert(connection, expires_at=ago(minutes=1))

    rounds = [len(await expire(connection, limit=2)) for _ in range(3)]

    assert rounds == [2, 1, 0]


async def test_what_somebody_holds_locked_keeps_no_other_waiting(
    connection: Connection, other: Connection
) -> None:
    locked = await insert(connection, expires_at=ago(minutes=1))
    free = await insert(connection, expires_at=ago(minutes=5))
    await connection.execute("set lock_timeout = '5s'")

    async with other.transaction():
        await operate(other, "hold", locked, "looking at it", "ops")
        assert await expire(connection) == {free}
    assert await expire(connection) == {locked}


async def test_what_nothing_moves_on_keeps_no_other_waiting(unchecked: Connection) -> None:
    free = await insert(unchecked, expires_at=ago(minutes=5))
    stranded = await insert(unchecked, expires_at=ago(minutes=1))
    await unchecked.execute("delete from chimeway.jobs where delivery_id = $1", stranded)

    assert await expire(unchecked, limit=1) == {free}
