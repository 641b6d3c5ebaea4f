"""rescue: a claim whose lease ran out is closed, each call under it recorded as lost."""

from datetime import timedelta

import asyncpg
import pytest
from engine import (
    LEASE,
    Connection,
    attempts_of,
    claim,
    claim_one,
    configure,
    insert,
    jobs_of,
    look,
    move_clock,
    operate,
    record,
)

from chimewayd.models import SUSPECT_AFTER_LOSSES

pytestmark = pytest.mark.anyio

LATER = LEASE + timedelta(seconds=1)


@pytest.fixture(autouse=True)
async def channel(unchecked: Connection) -> None:
    """Configure channel email."""
    await configure(unchecked)


async def rescue(connection: Connection, limit: int = 10) -> list[asyncpg.Record]:
    return await connection.fetch("select * from chimeway.rescue($1)", limit)


async def test_lost_call_is_an_attempt_of_its_own(connection: Connection) -> None:
    delivery = await claim_one(connection)
    await move_clock(connection, LATER)

    await rescue(connection)

    (attempt,) = await attempts_of(connection, delivery.delivery_id)
    assert (attempt["attempt_number"], attempt["outcome"]) == (1, "lost")
    assert attempt["error_class"] == "uncertain"
    assert attempt["daemon_name"] == "d1"
    assert attempt["claim_id"] == delivery.claim_id
    assert attempt["started_at"] is None
    assert "it may have sent" in attempt["detail"]


async def test_delivery_lost_for_the_first_time_is_retried_at_once(connection: Connection) -> None:
    delivery = await claim_one(connection)
    await move_clock(connection, LATER)

    (lost,) = await rescue(connection)

    row = await look(connection, delivery.delivery_id)
    assert tuple(lost) == (
        delivery.delivery_id, delivery.claim_id, "d1", "failed", None, 1, row["next_attempt_at"],
    )  # fmt: skip
    assert row["next_attempt_at"] == row["updated_at"]
    assert (row["status"], row["lost_count"]) == ("failed", 1)
    assert len(await jobs_of(connection, delivery.delivery_id)) == 1


async def test_delivery_lost_once_more_is_retried_after_a_backoff(connection: Connection) -> None:
    delivery = await claim_one(connection)
    await move_clock(connection, LATER)
    await rescue(connection)
    assert len(await claim(connection)) == 1
    await move_clock(connection, 2 * LATER)

    await rescue(connection)

    row = await look(connection, delivery.delivery_id)
    assert row["next_attempt_at"] - row["updated_at"] == timedelta(minutes=1)
    assert (row["status"], row["lost_count"]) == ("failed", 2)


async def test_lost_delivery_is_held_where_doubt_means_hold(connection: Connection) -> None:
    await configure(connection, on_uncertain="hold")
    delivery = await claim_one(connection)
    await move_clock(connection, LATER)

    await rescue(connection)

    row = await look(connection, delivery.delivery_id)
    assert (row["status"], row["suppression_reason"]) == ("cancelled", "outcome_unknown")
    assert await jobs_of(connection, delivery.delivery_id) == []


async def test_lost_last_attempt_exhausts_the_delivery(connection: Connection) -> None:
    delivery = await claim_one(connection, max_attempts=1)
    await move_clock(connection, LATER)

    await rescue(connection)

    row = await look(connection, delivery.delivery_id)
    assert (row["status"], row["suppression_reason"]) == ("cancelled", "retries_exhausted")


async def test_cancel_that_was_asked_for_ends_a_lost_delivery(connection: Connection) -> None:
    delivery = await claim_one(connection)
    await operate(connection, "cancel", delivery.delivery_id, "changed my mind", "ops")
    await move_clock(connection, LATER)

    await rescue(connection)

    row = await look(connection, delivery.delivery_id)
    assert (row["status"], row["suppression_reason"]) == ("cancelled", "changed my mind")


async def test_rescued_claim_is_gone(connection: Connection) -> None:
    await claim_one(connection)
    await move_clock(connection, LATER)

    await rescue(connection)

    assert await connection.fetchval("select count(*) from chimeway.claims") == 0
    assert await rescue(connection) == []


async def test_live_lease_is_left_alone(connection: Connection) -> None:
    delivery = await claim_one(connection)
    await move_clock(connection, LEASE - timedelta(seconds=5))

    assert await rescue(connection) == []

    assert (await look(connection, delivery.delivery_id))["status"] == "dispatched"


async def test_lease_further_away_than_any_lease_is_over(connection: Connection) -> None:
    await move_clock(connection, timedelta(hours=4))
    delivery = await claim_one(connection)
    await move_clock(connection, timedelta(hours=1))

    (lost,) = await rescue(connection)

    assert lost["delivery_id"] == delivery.delivery_id


async def test_what_was_recorded_before_the_loss_stays(connection: Connection) -> None:
    done, open_ = await insert(connection), await insert(connection)
    first, _ = await claim(connection)
    await record(connection, first)
    await move_clock(connection, LATER)

    (lost,) = await rescue(connection)

    assert lost["delivery_id"] == open_
    assert (await look(connection, done))["status"] == "succeeded"


async def test_rescue_takes_as_many_claims_as_it_is_told(connection: Connection) -> None:
    for _ in range(3):
        await claim_one(connection)
    await move_clock(connection, LATER)

    rounds = [len(await rescue(connection, limit=2)) for _ in range(3)]

    assert rounds == [2, 1, 0]


async def test_delivery_that_kills_each_daemon_is_bounded(connection: Connection) -> None:
    delivery_id = await insert(connection, max_attempts=3)
    for hour in range(3):
        await move_clock(connection, timedelta(hours=hour))
        assert len(await claim(connection)) == 1
        await move_clock(connection, timedelta(hours=hour) + LATER)
        await rescue(connection)

    row = await look(connection, delivery_id)
    assert (row["status"], row["suppression_reason"]) == ("cancelled", "retries_exhausted")
    assert (row["attempt_count"], row["lost_count"]) == (3, 3)


async def test_deliveries_lost_twice_are_claimed_one_at_a_time(connection: Connection) -> None:
    ids = {await insert(connection) for _ in range(3)}
    for loss in (1, 2):
        await claim(connection)
        await move_clock(connection, loss * LATER)
        await rescue(connection)
    fresh = await insert(connection)
    await move_clock(connection, timedelta(hours=1))

    assert [d.delivery_id for d in await claim(connection, takes_suspect=False)] == [fresh]
    alone = [await claim(connection, slots=10) for _ in range(3)]

    assert [len(batch) for batch in alone] == [1, 1, 1]
    assert {batch[0].delivery_id for batch in alone} == ids
    assert all(batch[0].lost_count >= SUSPECT_AFTER_LOSSES for batch in alone)


async def test_delivery_lost_twice_and_given_back_stays_alone(connection: Connection) -> None:
    await insert(connection)
    for loss in (1, 2):
        await claim(connection)
        await move_clock(connection, loss * LATER)
        await rescue(connection)
    await move_clock(connection, timedelta(hours=1))
    (lost,) = await claim(connection)
    await connection.fetch(
        "select * from chimeway.release_unsent('d1', $1, $2, 'stopped')",
        [lost.delivery_id],
        [lost.claim_id],
    )

    assert await claim(connection, takes_suspect=False) == []
    assert len(await claim(connection)) == 1


async def test_what_somebody_holds_locked_keeps_no_other_waiting(
    connection: Connection, other: Connection
) -> None:
    """An operator's transaction that stays open: of its own claim and of another one."""
    await configure(connection, "sms")
    ids = [await insert(connection) for _ in range(2)]
    locked, beside = await claim(connection)
    elsewhere = await claim_one(connection, channel="sms")
    await move_clock(connection, LATER)
    await connection.execute("set lock_timeout = '5s'")

    async with other.transaction():
        await operate(other, "cancel", locked.delivery_id, "looking at it", "ops")
        first = await rescue(connection)
    second = await rescue(connection)

    assert {row["delivery_id"] for row in first} == {beside.delivery_id, elsewhere.delivery_id}
    assert [row["delivery_id"] for row in second] == [locked.delivery_id]
    assert (await look(connection, locked.delivery_id))["status"] == "cancelled"
    assert {locked.delivery_id, beside.delivery_id} == set(ids)
    assert await connection.fetchval("select count(*) from chimeway.claims") == 0


REFUSE = """
create function refuse() returns trigger language plpgsql
as $$ begin raise exception 'no room for this one'; end $$;
create trigger refuse before insert on chimeway.delivery_attempts
for each row when (new.detail is not null and new.claim_id = {}) execute function refuse();
"""


async def test_claim_that_cannot_be_ended_keeps_no_other_waiting(connection: Connection) -> None:
    broken, other = [await claim_one(connection) for _ in range(2)]
    await move_clock(connection, LATER)
    await connection.execute(REFUSE.format(broken.claim_id))

    first = await rescue(connection)
    await connection.execute("drop trigger refuse on chimeway.delivery_attempts")
    second = await rescue(connection)

    assert [row["delivery_id"] for row in first] == [other.delivery_id]
    assert [row["delivery_id"] for row in second] == [broken.delivery_id]
