"""cancel: what waits ends at once, what is being sent ends after the call."""

from datetime import timedelta

import pytest
from engine import (
    Connection,
    attempts_of,
    claim,
    claim_one,
    configure,
    ended,
    events_of,
    insert,
    jobs_of,
    look,
    move_clock,
    operate,
    record,
)

pytestmark = pytest.mark.anyio

WHY = "order was cancelled"


@pytest.fixture(autouse=True)
async def channel(unchecked: Connection) -> None:
    """Configure channel email."""
    await configure(unchecked)


@pytest.mark.parametrize("is_retry", [False, True])
async def test_cancelled_delivery_is_never_claimed(
    connection: Connection, *, is_retry: bool
) -> None:
    delivery_id = await (ended(connection, "temporary") if is_retry else insert(connection))

    await operate(connection, "cancel", delivery_id, WHY, "ops")

    row = await look(connection, delivery_id)
    await move_clock(connection, timedelta(days=1))
    assert (row["status"], row["suppression_reason"]) == ("cancelled", WHY)
    assert row["next_attempt_at"] is None
    assert await jobs_of(connection, delivery_id) == []
    assert await claim(connection) == []


async def test_cancel_is_told_in_the_history(connection: Connection) -> None:
    delivery_id = await insert(connection)

    await operate(connection, "cancel", delivery_id, WHY, "ada")

    (event,) = await events_of(connection, delivery_id)
    assert (event["event"], event["actor"], event["reason"]) == ("cancelled", "ada", WHY)


@pytest.mark.parametrize("kind", ["temporary", "throttled", "timeout", "unclassified"])
async def test_cancel_during_a_call_ends_it_after_a_failure(
    connection: Connection, kind: str
) -> None:
    delivery = await claim_one(connection)
    answer = await operate(connection, "cancel", delivery.delivery_id, WHY, "ops")

    verdict = await record(connection, delivery, kind)

    (event,) = await events_of(connection, delivery.delivery_id)
    assert "no retry will follow" in answer["message"]
    assert (verdict.status, verdict.suppression_reason) == ("cancelled", WHY)
    assert event["event"] == "cancel_requested"
    assert len(await attempts_of(connection, delivery.delivery_id)) == 1
    assert await jobs_of(connection, delivery.delivery_id) == []


@pytest.mark.parametrize(
    ("kind", "status", "reason"),
    [
        ("succeeded", "succeeded", None),
        ("permanent", "cancelled", "permanent_failure"),
        ("bounced", "cancelled", "bounced"),
    ],
)
async def test_real_outcome_of_the_call_wins_over_the_cancel(
    connection: Connection, kind: str, status: str, reason: str | None
) -> None:
    delivery = await claim_one(connection)
    await operate(connection, "cancel", delivery.delivery_id, WHY, "ops")

    verdict = await record(connection, delivery, kind)

    row = await look(connection, delivery.delivery_id)
    assert (verdict.status, verdict.suppression_reason) == (status, reason)
    assert (row["requested_status"], row["requested_reason"]) == (None, None)


async def test_cancel_of_a_held_delivery_takes_it_out_of_the_queue(connection: Connection) -> None:
    delivery_id = await insert(connection)
    await operate(connection, "hold", delivery_id, "wait", "ops")

    await operate(connection, "cancel", delivery_id, WHY, "ops")

    assert await jobs_of(connection, delivery_id) == []


async def test_last_request_during_a_call_counts(connection: Connection) -> None:
    delivery = await claim_one(connection)
    await operate(connection, "cancel", delivery.delivery_id, WHY, "ops")
    await operate(connection, "suppress", delivery.delivery_id, "unsubscribed", "ops")

    verdict = await record(connection, delivery, "temporary")

    assert (verdict.status, verdict.suppression_reason) == ("suppressed", "unsubscribed")
