"""release_unsent: what was claimed and not sent goes back as it was, no attempt used."""

from datetime import timedelta

import pytest
from engine import (
    Bell,
    Connection,
    attempts_of,
    claim,
    claim_one,
    configure,
    events_of,
    insert,
    jobs_of,
    look,
    move_clock,
    operate,
    record,
)

from chimewayd.models import Delivery

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
async def channel(unchecked: Connection) -> None:
    """Configure channel email."""
    await configure(unchecked)


async def give_back(connection: Connection, *deliveries: Delivery) -> list[tuple[object, ...]]:
    rows = await connection.fetch(
        "select * from chimeway.release_unsent('d1', $1, $2, 'shutting down')",
        [delivery.delivery_id for delivery in deliveries],
        [delivery.claim_id for delivery in deliveries],
    )
    return [tuple(row) for row in rows]


async def test_first_attempt_given_back_is_pending_again(connection: Connection) -> None:
    delivery = await claim_one(connection)

    answer = await give_back(connection, delivery)

    row = await look(connection, delivery.delivery_id)
    assert answer == [(delivery.delivery_id, delivery.claim_id, "pending")]
    assert (row["status"], row["attempt_count"], row["claim_id"]) == ("pending", 0, None)
    assert await attempts_of(connection, delivery.delivery_id) == []


async def test_retry_given_back_is_failed_again(connection: Connection) -> None:
    first = await claim_one(connection)
    await record(connection, first, "temporary")
    await move_clock(connection, timedelta(hours=1))
    (retry,) = await claim(connection)

    await give_back(connection, retry)

    row = await look(connection, retry.delivery_id)
    assert (row["status"], row["attempt_count"]) == ("failed", 1)


async def test_released_delivery_is_due_at_once_and_rings(
    connection: Connection, bell: Bell
) -> None:
    delivery = await claim_one(connection)
    await bell.rings()
    await bell.arm()

    await give_back(connection, delivery)

    assert len(await jobs_of(connection, delivery.delivery_id)) == 1
    assert await bell.rings() == 1
    (again,) = await claim(connection)
    assert again.attempt_number == 1
    assert again.claim_id > delivery.claim_id


async def test_release_is_told_in_the_history(connection: Connection) -> None:
    delivery = await claim_one(connection)

    await give_back(connection, delivery)

    (event,) = await events_of(connection, delivery.delivery_id)
    assert (event["event"], event["actor"], event["reason"]) == (
        "released_unsent",
        "daemon d1",
        "shutting down",
    )


async def test_stale_token_releases_nothing(connection: Connection) -> None:
    delivery = await claim_one(connection)
    await give_back(connection, delivery)
    (again,) = await claim(connection)

    assert await give_back(connection, delivery) == []

    row = await look(connection, delivery.delivery_id)
    assert (row["status"], row["claim_id"]) == ("dispatched", again.claim_id)


@pytest.mark.parametrize(("verb", "status"), [("cancel", "cancelled"), ("suppress", "suppressed")])
async def test_end_that_was_asked_for_comes_with_the_release(
    connection: Connection, verb: str, status: str
) -> None:
    delivery = await claim_one(connection)
    await operate(connection, verb, delivery.delivery_id, "changed my mind", "ops")

    answer = await give_back(connection, delivery)

    row = await look(connection, delivery.delivery_id)
    assert answer == [(delivery.delivery_id, delivery.claim_id, status)]
    assert (row["status"], row["suppression_reason"]) == (status, "changed my mind")
    assert row["attempt_count"] == 0
    assert await jobs_of(connection, delivery.delivery_id) == []


async def test_claim_shrinks_with_a_release_and_closes_with_the_last(
    connection: Connection,
) -> None:
    for _ in range(3):
        await insert(connection)
    first, second, third = await claim(connection)
    counts = []

    for batch in ([first], [second, third]):
        await give_back(connection, *batch)
        counts.append(await connection.fetchval("select open_count from chimeway.claims"))

    assert counts == [2, None]
