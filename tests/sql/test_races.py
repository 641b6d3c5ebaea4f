"""Two sessions at once: one of them is in the middle of it when the other comes."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from engine import (
    Connection,
    attempts_of,
    blocked,
    claim,
    claim_one,
    configure,
    delivery_in,
    events_of,
    insert,
    jobs_of,
    look,
    move_clock,
    operate,
    record,
    record_all,
)

from chimewayd.errors import TransitionRefused
from chimewayd.models import Status

pytestmark = pytest.mark.anyio

WHY = "no longer wanted"


@pytest.fixture(autouse=True)
async def channel(unchecked: Connection) -> None:
    """Configure channel email."""
    await configure(unchecked)


async def test_two_claimers_share_the_queue_without_waiting(
    connection: Connection, other: Connection
) -> None:
    expected = {await insert(connection) for _ in range(6)}

    async with other.transaction():
        theirs = await claim(other, slots=4)
        ours = await claim(connection, slots=4)

    assert (len(theirs), len(ours)) == (4, 2)
    assert {delivery.delivery_id for delivery in theirs + ours} == expected
    assert len({delivery.claim_id for delivery in theirs + ours}) == 2


async def test_cancel_during_a_claim_becomes_a_request(
    connection: Connection, other: Connection
) -> None:
    delivery_id = await insert(connection)
    transaction = connection.transaction()
    await transaction.start()
    (delivery,) = await claim(connection)

    async with blocked(
        connection, other, lambda: operate(other, "cancel", delivery_id, WHY, "ops")
    ) as answers:
        await transaction.commit()

    assert (answers[0]["changed"], answers[0]["status"]) == (True, "dispatched")
    verdict = await record(connection, delivery, "temporary")
    assert (verdict.status, verdict.suppression_reason) == ("cancelled", WHY)


async def test_cancel_during_a_claim_that_is_rolled_back_wins(
    connection: Connection, other: Connection
) -> None:
    delivery_id = await insert(connection)
    transaction = connection.transaction()
    await transaction.start()
    await claim(connection)

    async with blocked(
        connection, other, lambda: operate(other, "cancel", delivery_id, WHY, "ops")
    ) as answers:
        await transaction.rollback()

    assert answers[0]["status"] == "cancelled"
    assert await claim(connection) == []


async def test_claim_during_a_cancel_passes_over_the_delivery(
    connection: Connection, other: Connection
) -> None:
    delivery_id = await insert(connection)

    async with other.transaction():
        await operate(other, "cancel", delivery_id, WHY, "ops")
        assert await claim(connection) == []

    assert (await look(connection, delivery_id))["attempt_count"] == 0


@pytest.mark.parametrize(
    ("kind", "changed", "status", "reason"),
    [("temporary", True, "cancelled", WHY), ("succeeded", False, "succeeded", None)],
)
async def test_cancel_during_a_record_judges_what_was_recorded(
    connection: Connection,
    other: Connection,
    kind: str,
    *,
    changed: bool,
    status: str,
    reason: str | None,
) -> None:
    delivery = await claim_one(connection)
    transaction = connection.transaction()
    await transaction.start()
    await record(connection, delivery, kind)

    async with blocked(
        connection, other, lambda: operate(other, "cancel", delivery.delivery_id, WHY, "ops")
    ) as answers:
        await transaction.commit()

    row = await look(connection, delivery.delivery_id)
    assert (answers[0]["changed"], answers[0]["status"]) == (changed, status)
    assert (row["status"], row["suppression_reason"]) == (status, reason)


async def test_record_during_a_cancel_honours_it(connection: Connection, other: Connection) -> None:
    delivery = await claim_one(connection)
    transaction = connection.transaction()
    await transaction.start()
    await operate(connection, "cancel", delivery.delivery_id, WHY, "ops")

    async with blocked(connection, other, lambda: record(other, delivery, "temporary")) as verdicts:
        await transaction.commit()

    assert (verdicts[0].status, verdicts[0].suppression_reason) == ("cancelled", WHY)
    assert await jobs_of(connection, delivery.delivery_id) == []


async def test_record_during_a_rescue_is_stale(connection: Connection, other: Connection) -> None:
    delivery = await claim_one(connection)
    await move_clock(connection, timedelta(minutes=2))
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("select chimeway.rescue(10)")

    async with blocked(connection, other, lambda: record(other, delivery)) as verdicts:
        await transaction.commit()

    assert (verdicts[0].verdict, verdicts[0].status) == ("stale", "failed")
    outcomes = [row["outcome"] for row in await attempts_of(connection, delivery.delivery_id)]
    assert outcomes == ["lost"]


async def test_rescue_passes_over_a_claim_that_is_being_recorded(
    connection: Connection, other: Connection
) -> None:
    delivery = await claim_one(connection)
    await move_clock(connection, timedelta(minutes=2))

    async with other.transaction():
        await record(other, delivery)
        assert await connection.fetch("select * from chimeway.rescue(10)") == []

    assert (await look(connection, delivery.delivery_id))["status"] == "succeeded"
    assert await connection.fetch("select * from chimeway.rescue(10)") == []


async def test_one_delivery_recorded_twice_at_once_has_one_attempt(
    connection: Connection, other: Connection
) -> None:
    delivery = await claim_one(connection)
    transaction = connection.transaction()
    await transaction.start()
    await record(connection, delivery)

    async with blocked(connection, other, lambda: record(other, delivery)) as verdicts:
        await transaction.commit()

    assert verdicts[0].verdict == "already_applied"
    assert len(await attempts_of(connection, delivery.delivery_id)) == 1


async def test_records_of_two_claims_in_opposite_orders_do_not_deadlock(
    connection: Connection, other: Connection
) -> None:
    first, second = await claim_one(connection), await claim_one(connection)
    transaction = connection.transaction()
    await transaction.start()
    await record(connection, first)

    async with blocked(
        connection,
        other,
        lambda: record_all(other, [(second, "temporary"), (first, "temporary")]),
    ) as answers:
        # Had the other one locked the second claim first, this would wait for ever.
        await record(connection, second)
        await transaction.commit()

    assert {verdict.verdict for verdict in answers[0].values()} == {"already_applied"}


async def test_claim_and_cancel_lock_in_the_same_order(
    connection: Connection, other: Connection, connect: Callable[[], Awaitable[Connection]]
) -> None:
    delivery_id = await insert(connection)
    third = await connect()
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("select from chimeway.deliveries for update")

    async with (
        blocked(connection, other, lambda: claim(other)) as claims,
        blocked(
            connection, third, lambda: operate(third, "cancel", delivery_id, WHY, "ops")
        ) as answers,
    ):
        await transaction.commit()

    assert [delivery.delivery_id for delivery in claims[0]] == [delivery_id]
    assert answers[0]["status"] == "dispatched"


async def test_two_cancels_at_once_end_the_delivery_once(
    connection: Connection, other: Connection
) -> None:
    delivery_id = await insert(connection)
    transaction = connection.transaction()
    await transaction.start()
    await operate(connection, "cancel", delivery_id, WHY, "ada")

    async with blocked(
        connection, other, lambda: operate(other, "cancel", delivery_id, "me too", "bob")
    ) as answers:
        await transaction.commit()

    (event,) = await events_of(connection, delivery_id)
    assert answers[0]["changed"] is False
    assert (event["actor"], event["reason"]) == ("ada", WHY)


async def test_two_replays_at_once_begin_one_series(
    connection: Connection, other: Connection
) -> None:
    delivery_id = await delivery_in(connection, Status.CANCELLED)
    transaction = connection.transaction()
    await transaction.start()
    await operate(connection, "replay", delivery_id, "ada")

    async def refused() -> bool:
        with pytest.raises(TransitionRefused, match="from pending to pending"):
            await operate(other, "replay", delivery_id, "bob")
        return True

    async with blocked(connection, other, refused) as answers:
        await transaction.commit()

    assert answers == [True]
    assert (await look(connection, delivery_id))["series"] == 2


async def test_hold_during_a_claim_comes_too_late(
    connection: Connection, other: Connection
) -> None:
    delivery_id = await insert(connection)
    transaction = connection.transaction()
    await transaction.start()
    await claim(connection)

    async def refused() -> bool:
        with pytest.raises(TransitionRefused, match="from dispatched to held"):
            await operate(other, "hold", delivery_id, "wait", "ops")
        return True

    async with blocked(connection, other, refused) as answers:
        await transaction.commit()

    assert answers == [True]


@pytest.mark.parametrize(("end", "rows"), [("commit", 0), ("rollback", 1)])
async def test_second_insert_of_a_key_waits_for_the_first(
    connection: Connection, other: Connection, end: str, rows: int
) -> None:
    transaction = connection.transaction()
    await transaction.start()
    await insert(connection, idempotency_key="order-1")
    again = (
        "insert into chimeway.deliveries (channel, recipient, payload, idempotency_key) "
        "values ('email', 'ada', '{}', 'order-1') on conflict do nothing"
    )

    async with blocked(connection, other, lambda: other.execute(again)) as answers:
        await (transaction.commit() if end == "commit" else transaction.rollback())

    assert answers == [f"INSERT 0 {rows}"]
    assert len(await claim(connection)) == 1
