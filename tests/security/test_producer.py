"""What a producer's login can do: insert, read the state of rows; and nothing else."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import engine
import logins
import pytest

pytestmark = pytest.mark.anyio

INSERT = (
    "insert into chimeway.deliveries (channel, recipient, payload{}) "
    "values ('email', 'ada', '{{}}'{})"
)
STATE = (
    "id, channel, idempotency_key, tenant_id, status, suppression_reason, attempt_count, "
    "next_attempt_at, provider_message_id, inserted_at, updated_at, finished_at"
)


@pytest.fixture
async def producer(dsn: str) -> AsyncIterator[engine.Connection]:
    async with logins.session(dsn, "chimeway_producer") as connection:
        yield connection


async def test_every_column_of_a_producers_own_can_be_written(producer: engine.Connection) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)

    delivery_id = await engine.insert(
        producer,
        id="01a202e3-f297-7352-ac3f-4b42c821f228",
        idempotency_key="order-42",
        tenant_id="acme",
        notification_key="order.shipped",
        correlation_id="trace-1",
        priority=5,
        max_attempts=3,
        scheduled_at=soon,
        expires_at=soon + timedelta(hours=1),
        metadata='{"a": 1}',
    )

    row = await producer.fetchrow(
        f"select {STATE} from chimeway.deliveries where id = $1",  # noqa: S608 - our own columns
        delivery_id,
    )
    assert row is not None
    assert (row["status"], row["tenant_id"]) == ("pending", "acme")


async def test_second_insert_of_a_key_can_be_made_inert(producer: engine.Connection) -> None:
    twice = INSERT.format(", tenant_id, idempotency_key", ", 'acme', 'k'")
    await producer.execute(twice)

    assert await producer.execute(twice + " on conflict do nothing") == "INSERT 0 0"
    with pytest.raises(asyncpg.UniqueViolationError):
        await producer.execute(twice)


async def test_rows_can_be_copied_in(producer: engine.Connection) -> None:
    await producer.copy_records_to_table(
        "deliveries",
        schema_name="chimeway",
        columns=["channel", "recipient", "payload"],
        records=[("email", "ada", "{}"), ("email", "bob", "{}")],
    )

    assert await producer.fetchval("select count(id) from chimeway.deliveries") == 2


FORBIDDEN = {
    f"insert {column}": INSERT.format(f", {column}", f", {value}")
    for column, value in {
        "status": "'pending'",
        "attempt_count": "0",
        "attempts_before": "0",
        "lost_count": "0",
        "series": "1",
        "claim_id": "null",
        "next_attempt_at": "now()",
        "finished_at": "now()",
        "updated_at": "now()",
        "inserted_at": "now()",
        "suppression_reason": "null",
        "provider_message_id": "null",
        "requested_status": "null",
        "requested_reason": "null",
        "position": "1",
    }.items()
} | {
    statement: statement
    for statement in (
        INSERT.format(", position", ", 1").replace("values", "overriding system value values"),
        INSERT.format("", "") + " returning *",
        INSERT.format("", "") + " on conflict (id) do update set status = 'succeeded'",
        "select payload from chimeway.deliveries",
        "select recipient from chimeway.deliveries",
        "select * from chimeway.deliveries",
        "update chimeway.deliveries set status = 'succeeded'",
        "update chimeway.deliveries set priority = 1",
        "delete from chimeway.deliveries",
        "truncate chimeway.deliveries",
        "select id from chimeway.deliveries for update",
        "copy chimeway.deliveries to stdout",
        "copy chimeway.deliveries to '/tmp/out'",
        "do $$ begin lock table chimeway.deliveries in share mode; end $$",
        "create trigger t after insert on chimeway.deliveries execute function chimeway.ring()",
        "alter table chimeway.deliveries disable trigger all",
        "create policy p on chimeway.deliveries",
        "create rule r as on insert to chimeway.deliveries do instead nothing",
        "create table chimeway.mine (id integer)",
        "create function chimeway.mine() returns integer language sql return 1",
        "alter schema chimeway rename to ours",
        "set session_replication_role = replica",
        "set role chimeway_owner",
        "set role chimeway_daemon",
        "set session authorization chimeway_owner",
        "select * from chimeway.jobs",
        "delete from chimeway.jobs",
        "select * from chimeway.claims",
        "select * from chimeway.channels",
        "select * from chimeway.suppressions",
        "select * from chimeway.delivery_attempts",
        "insert into chimeway.delivery_events default values",
        "select nextval('chimeway.bell_armed')",
        "select setval('chimeway.bell_rung', 1)",
        "select last_value from chimeway.claim_ids",
        "select chimeway.ring()",
        "select chimeway.clock()",
        "select chimeway.cancel(gen_random_uuid(), 'x', 'me')",
        "select chimeway.suppress(gen_random_uuid(), 'x', 'me')",
        "select chimeway.replay(gen_random_uuid(), 'me')",
        "select chimeway.explain(gen_random_uuid())",
        "select chimeway.stats()",
        "select chimeway.pause_channel('email', 'x', 'me')",
        "select chimeway.claim(1, 'd', '{email}', '{9}', 9, '1 min', false, false)",
        "select chimeway.take_job(gen_random_uuid())",
        "select chimeway.forget_daemons(null, '0')",
        "select chimeway.broken_rule(null)",
        "grant chimeway_producer to chimeway_reader",
        "grant insert on chimeway.deliveries to public",
    )
}


async def test_everything_else_is_forbidden(
    producer: engine.Connection, connection: engine.Connection
) -> None:
    await engine.insert(connection)
    wrong = {}

    for name, statement in FORBIDDEN.items():
        try:
            await producer.execute(statement)
            wrong[name] = "was allowed"
        except (asyncpg.InsufficientPrivilegeError, asyncpg.GeneratedAlwaysError):
            pass  # 428C9: a generated position is refused before rights are looked at
        except asyncpg.PostgresError as error:
            wrong[name] = repr(error)

    assert wrong == {}
    assert await connection.fetchval("select count(*) from chimeway.deliveries") == 1


async def test_rights_given_by_hand_are_nobodys_business(
    dsn: str, connection: engine.Connection
) -> None:
    async with logins.session(dsn) as app:
        name = await app.fetchval("select current_user")
        await connection.execute(f"grant usage on schema chimeway to {name}")
        await connection.execute(f"grant insert, select on chimeway.deliveries to {name}")

        await engine.insert(app)
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="by chimeway only"):
            await engine.insert(app, attempt_count=5)

        assert await app.fetchval("select payload from chimeway.deliveries") == "{}"
