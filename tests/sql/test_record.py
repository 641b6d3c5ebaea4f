"""record: one call, one attempt row, one move of the delivery, and one verdict, asked how often."""

from datetime import timedelta

import pytest
from engine import (
    Connection,
    attempts_of,
    claim,
    claim_one,
    configure,
    insert,
    jobs_of,
    look,
    move_clock,
    record,
    record_all,
)

from chimewayd.errors import InvalidArgument

pytestmark = pytest.mark.anyio

ORDER_OF_CHANGES = """
create table changes (nth bigint generated always as identity, id uuid);
create function note_change() returns trigger language plpgsql security definer as $$
begin
  insert into public.changes (id) values (new.id);
  return null;
end
$$;
create trigger note_change after update on chimeway.deliveries
for each row execute function note_change();
"""


@pytest.fixture(autouse=True)
async def channel(unchecked: Connection) -> None:
    """Configure channel email."""
    await configure(unchecked)


async def test_success_finishes_the_delivery(connection: Connection) -> None:
    delivery = await claim_one(connection)

    verdict = await record(connection, delivery, provider_message_id="m1")

    row = await look(connection, delivery.delivery_id)
    assert verdict == ("applied", "succeeded", None, None)
    assert (row["status"], row["provider_message_id"]) == ("succeeded", "m1")
    assert row["claim_id"] is None


async def test_attempt_row_keeps_what_was_reported(connection: Connection) -> None:
    delivery = await claim_one(connection)

    verdict = await record(
        connection,
        delivery,
        "throttled",
        started_ago=2.0,
        finished_ago=0.5,
        detail="slow down",
        status_code=429,
        response="later",
        provider_message_id="m1",
        retry_after=timedelta(minutes=3),
    )

    (attempt,) = await attempts_of(connection, delivery.delivery_id)
    assert (attempt["attempt_number"], attempt["series"]) == (1, 1)
    assert attempt["claim_id"] == delivery.claim_id
    assert attempt["daemon_name"] == "d1"
    assert (attempt["detail"], attempt["status_code"]) == ("slow down", 429)
    assert (attempt["response"], attempt["provider_message_id"]) == ("later", "m1")
    assert attempt["retry_after"] == timedelta(minutes=3)
    assert attempt["finished_at"] - attempt["started_at"] == timedelta(seconds=1.5)
    assert attempt["next_attempt_at"] == verdict.next_attempt_at


async def test_failure_queues_the_retry_for_when_it_is_due(connection: Connection) -> None:
    delivery = await claim_one(connection, priority=4)

    verdict = await record(connection, delivery, "temporary")

    row = await look(connection, delivery.delivery_id)
    (job,) = await jobs_of(connection, delivery.delivery_id)
    assert verdict.next_attempt_at == row["next_attempt_at"] == job["due_at"]
    assert row["next_attempt_at"] - row["updated_at"] == timedelta(seconds=30)
    assert (job["priority"], job["position"]) == (4, row["position"])


async def test_waits_grow_by_the_channels_factor(connection: Connection) -> None:
    delivery_id = await insert(connection, max_attempts=4)
    waits = []

    for hours in (0, 1, 2):
        await move_clock(connection, timedelta(hours=hours))
        (delivery,) = await claim(connection)
        await record(connection, delivery, "temporary")
        row = await look(connection, delivery_id)
        waits.append((row["next_attempt_at"] - row["updated_at"]).total_seconds())

    assert waits == [30, 60, 120]


async def test_retry_after_makes_the_wait_longer(connection: Connection) -> None:
    delivery = await claim_one(connection)

    await record(connection, delivery, "throttled", retry_after=timedelta(hours=2))

    row = await look(connection, delivery.delivery_id)
    assert row["next_attempt_at"] - row["updated_at"] == timedelta(hours=2)


async def test_retry_after_never_makes_the_wait_shorter(connection: Connection) -> None:
    delivery = await claim_one(connection)

    await record(connection, delivery, "throttled", retry_after=timedelta(seconds=1))

    row = await look(connection, delivery.delivery_id)
    assert row["next_attempt_at"] - row["updated_at"] == timedelta(seconds=30)


async def test_retry_after_is_capped(connection: Connection) -> None:
    await configure(connection, retry_after_cap=timedelta(hours=3))
    delivery = await claim_one(connection)

    await record(connection, delivery, "throttled", retry_after=timedelta(days=400))

    row = await look(connection, delivery.delivery_id)
    assert row["next_attempt_at"] - row["updated_at"] == timedelta(hours=3)


@pytest.mark.parametrize(("max_age", "status"), [(20, "cancelled"), (40, "failed")])
async def test_no_retry_comes_later_than_max_age(
    connection: Connection, max_age: int, status: str
) -> None:
    await configure(connection, max_age=timedelta(seconds=max_age))
    delivery = await claim_one(connection)

    verdict = await record(connection, delivery, "temporary")

    assert verdict.status == status
    assert verdict.suppression_reason == ("retries_exhausted" if status == "cancelled" else None)


@pytest.mark.parametrize(("own", "status"), [(1, "cancelled"), (6, "failed"), (None, "failed")])
async def test_max_attempts_of_the_row_win_over_the_channels(
    connection: Connection, own: int | None, status: str
) -> None:
    await configure(connection, max_attempts=1 if own == 6 else 2)
    delivery = await claim_one(connection, max_attempts=own)

    assert (await record(connection, delivery, "temporary")).status == status


async def test_hundredth_failure_of_a_steep_backoff_is_recorded(connection: Connection) -> None:
    await configure(connection, backoff_factor=100.0, max_attempts=100)
    delivery_id = await insert(connection)
    for attempt in range(100):
        await move_clock(connection, timedelta(hours=7 * attempt))
        (delivery,) = await claim(connection)
        verdict = await record(connection, delivery, "temporary")

    assert verdict.status == "cancelled"
    numbers = [row["attempt_number"] for row in await attempts_of(connection, delivery_id)]
    assert numbers == list(range(1, 101))


async def test_exhaustion_completes_the_job_in_the_attempts_own_statement(
    connection: Connection,
) -> None:
    delivery = await claim_one(connection, max_attempts=1)

    await record(connection, delivery, "temporary")

    row = await look(connection, delivery.delivery_id)
    (attempt,) = await attempts_of(connection, delivery.delivery_id)
    assert (row["status"], row["suppression_reason"]) == ("cancelled", "retries_exhausted")
    assert attempt["next_attempt_at"] is None
    assert await jobs_of(connection, delivery.delivery_id) == []


async def test_repeated_record_is_already_applied_and_changes_nothing(
    connection: Connection,
) -> None:
    delivery = await claim_one(connection)
    await record(connection, delivery)
    before = await look(connection, delivery.delivery_id)

    verdict = await record(connection, delivery, "permanent")

    assert verdict[:3] == ("already_applied", "succeeded", None)
    assert await look(connection, delivery.delivery_id) == before
    assert len(await attempts_of(connection, delivery.delivery_id)) == 1


async def test_repeated_record_of_a_failure_keeps_its_one_retry(connection: Connection) -> None:
    delivery = await claim_one(connection)
    await record(connection, delivery, "temporary")
    before = await look(connection, delivery.delivery_id)

    verdict = await record(connection, delivery, "temporary")

    assert verdict[:3] == ("already_applied", "failed", None)
    assert await look(connection, delivery.delivery_id) == before
    assert len(await jobs_of(connection, delivery.delivery_id)) == 1


@pytest.mark.parametrize("kind", ["delivered", "SUCCEEDED", "", None])
async def test_unknown_kind_is_refused(connection: Connection, kind: str) -> None:
    delivery = await claim_one(connection)

    with pytest.raises(InvalidArgument, match="is no kind of outcome"):
        await record(connection, delivery, kind)


async def test_unknown_kind_refuses_its_batch_whole(connection: Connection) -> None:
    await insert(connection)
    await insert(connection)
    good, bad = await claim(connection)

    with pytest.raises(InvalidArgument):
        await record_all(connection, [(good, "succeeded"), (bad, "delivered")])

    assert (await look(connection, good.delivery_id))["status"] == "dispatched"


async def test_claim_shrinks_with_each_record_and_closes_with_the_last(
    connection: Connection,
) -> None:
    for _ in range(3):
        await insert(connection)
    first, second, third = await claim(connection)
    counts = []

    for batch in ([(first, "succeeded")], [(second, "temporary"), (third, "permanent")]):
        await record_all(connection, batch)
        counts.append(await connection.fetchval("select open_count from chimeway.claims"))

    assert counts == [2, None]


async def test_record_of_a_batch_of_several_claims_closes_each(connection: Connection) -> None:
    claimed = [await claim_one(connection) for _ in range(3)]

    verdicts = await record_all(connection, [(delivery, "succeeded") for delivery in claimed])

    assert {verdict.verdict for verdict in verdicts.values()} == {"applied"}
    assert await connection.fetchval("select count(*) from chimeway.claims") == 0


async def test_record_of_nothing_is_nothing(connection: Connection) -> None:
    assert await record_all(connection, []) == {}


@pytest.mark.parametrize("kind", ["succeeded", "temporary"])
async def test_rows_are_changed_by_ascending_id_however_little_memory_there_is(
    connection: Connection, kind: str
) -> None:
    for _ in range(200):
        await insert(connection)
    undone = connection.transaction()
    await undone.start()
    await connection.execute(ORDER_OF_CHANGES)
    claimed = await claim(connection, slots=200)
    await connection.execute("truncate changes restart identity")
    ids = [delivery.delivery_id for delivery in reversed(claimed)]
    await connection.execute("set work_mem = '64kB'")

    await connection.fetch(
        "select * from chimeway.record('d1', $1, $2, $3, $4, $4, null, null, $5, null, null)",
        ids,
        [claimed[0].claim_id] * len(ids),
        [kind] * len(ids),
        [0.0] * len(ids),
        ["x" * 4000] * len(ids),
    )

    changed = [row["id"] for row in await connection.fetch("select id from changes order by nth")]
    await undone.rollback()
    assert changed == sorted(ids)
