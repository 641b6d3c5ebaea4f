"""enqueue_jobs: an insert of any kind leaves one job a delivery, or nothing at all."""

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from engine import Bell, Connection, insert, jobs_of, look

pytestmark = pytest.mark.anyio

COLUMNS = ("channel", "recipient", "payload")
KEYED = """
insert into chimeway.deliveries (channel, recipient, payload, tenant_id, idempotency_key)
values ('email', 'ada', '{}', $1, 'order-1')
"""
UNLESS_KNOWN = [
    KEYED + "on conflict do nothing",
    # Its index is partial: a statement that names the columns has to name the predicate too.
    KEYED + "on conflict (tenant_id, idempotency_key) where idempotency_key is not null do nothing",
]
MANY = """
insert into chimeway.deliveries (channel, recipient, payload)
select 'email', 'user' || n, '{}' from generate_series(1, 10000) as n
"""


async def count(connection: Connection, table: str) -> int:
    rows: int = await connection.fetchval(f"select count(*) from chimeway.{table}")  # noqa: S608 - our own table names
    return rows


async def test_insert_leaves_one_job_that_is_due_at_once(connection: Connection) -> None:
    delivery_id = await insert(connection, priority=-3)

    (job,) = await jobs_of(connection, delivery_id)
    row = await look(connection, delivery_id)
    assert job["due"] == "-infinity"
    assert (job["channel"], job["priority"], job["position"]) == ("email", -3, row["position"])
    assert row["status"] == "pending"


async def test_committed_insert_rings_once(connection: Connection, bell: Bell) -> None:
    await insert(connection)

    assert await bell.rings() == 1


async def test_rolled_back_insert_leaves_no_row_no_job_and_no_ring(
    connection: Connection, bell: Bell
) -> None:
    transaction = connection.transaction()
    await transaction.start()
    await insert(connection)
    await transaction.rollback()

    assert await count(connection, "deliveries") == 0
    assert await count(connection, "jobs") == 0
    assert await bell.rings() == 0


async def test_insert_while_the_daemons_are_awake_does_not_ring(
    connection: Connection, bell: Bell
) -> None:
    await connection.execute("select chimeway.ring()")
    assert await bell.rings() == 1

    await insert(connection)

    assert await bell.rings() == 0


async def test_commit_rings_for_a_daemon_that_woke_and_fell_asleep_during_the_transaction(
    connection: Connection, bell: Bell
) -> None:
    transaction = connection.transaction()
    await transaction.start()
    await insert(connection)
    await bell.ring()
    assert await bell.rings() == 1
    await bell.arm()
    await transaction.commit()

    assert await bell.rings() == 1


async def test_insert_of_ten_thousand_rows_leaves_ten_thousand_jobs_and_rings_once(
    connection: Connection, bell: Bell
) -> None:
    await connection.execute(MANY)

    assert await count(connection, "jobs") == 10_000
    assert await bell.rings() == 1


async def test_copy_is_queued_like_an_insert(connection: Connection, bell: Bell) -> None:
    records = [("email", f"user{n}", '{"n": 1}') for n in range(3)]

    await connection.copy_records_to_table(
        "deliveries", schema_name="chimeway", columns=COLUMNS, records=records
    )

    assert await count(connection, "jobs") == 3
    assert await bell.rings() == 1


async def test_rows_of_one_insert_are_queued_in_their_order(connection: Connection) -> None:
    rows = await connection.fetch(
        "insert into chimeway.deliveries (channel, recipient, payload) "
        "values ('email', 'a', '{}'), ('sms', 'b', '{}'), ('email', 'c', '{}') returning id"
    )

    jobs = await connection.fetch("select delivery_id from chimeway.jobs order by position")
    assert [job["delivery_id"] for job in jobs] == [row["id"] for row in rows]


@pytest.mark.parametrize("tenant", [None, "acme"])
async def test_second_insert_of_a_key_is_a_unique_violation(
    connection: Connection, tenant: str | None
) -> None:
    await connection.execute(KEYED, tenant)

    with pytest.raises(asyncpg.UniqueViolationError, match="deliveries_idempotency_key"):
        await connection.execute(KEYED, tenant)


@pytest.mark.parametrize("statement", UNLESS_KNOWN, ids=["any conflict", "this conflict"])
@pytest.mark.parametrize("tenant", [None, "acme"])
async def test_second_insert_of_a_key_is_inert_on_conflict_do_nothing(
    connection: Connection, statement: str, tenant: str | None, bell: Bell
) -> None:
    await connection.execute(statement, tenant)
    await bell.rings()
    await bell.arm()

    assert await connection.execute(statement, tenant) == "INSERT 0 0"

    assert await count(connection, "deliveries") == 1
    assert await count(connection, "jobs") == 1
    assert await bell.rings() == 0


async def test_tenants_may_share_a_key(connection: Connection) -> None:
    for tenant in (None, "acme", "umbrella"):
        await connection.execute(KEYED, tenant)

    assert await count(connection, "jobs") == 3


async def test_deliveries_without_a_key_never_conflict(connection: Connection) -> None:
    await insert(connection)
    await insert(connection)

    assert await count(connection, "jobs") == 2


async def test_insert_for_later_waits_until_then_and_does_not_ring(
    connection: Connection, bell: Bell
) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)

    delivery_id = await insert(connection, scheduled_at=later)

    (job,) = await jobs_of(connection, delivery_id)
    assert job["due_at"] == later
    assert await bell.rings() == 0


async def test_one_due_row_among_later_ones_rings(connection: Connection, bell: Bell) -> None:
    await connection.execute(
        "insert into chimeway.deliveries (channel, recipient, payload, scheduled_at) "
        "select 'email', 'a', '{}', now() + make_interval(hours => n) from generate_series(0, 2) n"
    )

    assert await bell.rings() == 1


async def test_insert_is_durable_though_the_session_does_not_wait_for_commits(
    connection: Connection,
) -> None:
    await connection.execute("set synchronous_commit = off")

    async with connection.transaction():
        await insert(connection)
        within = await connection.fetchval("show synchronous_commit")

    assert within == "on"
    assert await connection.fetchval("show synchronous_commit") == "off"


async def test_insert_leaves_any_other_commit_setting_alone(connection: Connection) -> None:
    await connection.execute("set synchronous_commit = local")

    async with connection.transaction():
        await insert(connection)
        assert await connection.fetchval("show synchronous_commit") == "local"


async def test_session_that_opted_out_of_notify_keeps_silent(
    connection: Connection, bell: Bell
) -> None:
    await connection.execute("set chimeway.notify = off")

    delivery_id = await insert(connection)

    assert await jobs_of(connection, delivery_id)
    assert await bell.rings() == 0


async def test_generated_ids_are_version_7_and_ordered_by_time(connection: Connection) -> None:
    ids = [await insert(connection) for _ in range(20)]

    milliseconds = [delivery_id.int >> 80 for delivery_id in ids]
    assert {(delivery_id.version, delivery_id.variant) for delivery_id in ids} == {
        (7, "specified in RFC 4122")
    }
    assert milliseconds == sorted(milliseconds)
    assert abs(milliseconds[-1] / 1000 - datetime.now(UTC).timestamp()) < 60
    assert len(set(ids)) == 20


async def test_job_carries_no_payload(connection: Connection) -> None:
    columns = await connection.fetch(
        "select column_name from information_schema.columns "
        "where table_schema = 'chimeway' and table_name = 'jobs'"
    )

    names = {row["column_name"] for row in columns}
    assert names == {
        "delivery_id",
        "due_at",
        "position",
        "priority",
        "rings",
        "is_suspect",
        "channel",
    }
