"""`chimewayd doctor` before a server that is in a bad way, as far as a test can bring it there.

Time is the exception: for what takes an hour, the sessions of the test's database get functions in
front of Postgres's own that say it is later.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import engine
import pytest
from engine import Connection
from examined import doctor, found

from chimewayd import db_facts

pytestmark = pytest.mark.anyio

LATER = """
create schema shifted;
create function shifted.{clock}() returns timestamptz language sql
  as $$ select pg_catalog.{clock}() + interval '{by}' $$;
grant usage on schema shifted to public;
do $$ begin
  execute format('alter database %I set search_path = shifted, pg_catalog', current_database());
end $$
"""
DEAD_ROWS = """
alter table chimeway.jobs set (autovacuum_enabled = false);
with one as (delete from chimeway.jobs returning *)
insert into chimeway.jobs (delivery_id, due_at, position, priority, channel)
select one.delivery_id, one.due_at, n, one.priority, one.channel
from one, generate_series(1, 110000) as n;
delete from chimeway.jobs where ctid <> (select min(ctid) from chimeway.jobs);
alter table chimeway.jobs reset (autovacuum_enabled);
"""


@asynccontextmanager
async def another(dsn: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("by", "level", "said"),
    [
        ("3 minutes", "fault", "ahead of ours: receivers will refuse signed webhooks"),
        ("-3 minutes", "fault", "behind ours: receivers will refuse signed webhooks"),
        ("20 seconds", "warning", "ahead of ours"),
    ],
)
async def test_a_clock_that_is_wrong_is_recognised(
    by: str, level: str, said: str, dsn: str, connection: Connection
) -> None:
    await connection.execute(LATER.format(clock="clock_timestamp", by=by))

    clocks = [each for each in found(await doctor(dsn), level) if each[0] == "clock"]

    ((_, what, remedy),) = clocks
    assert said in what
    assert "chrony" in remedy


async def test_whoever_keeps_an_old_transaction_open_is_named(
    dsn: str, connection: Connection
) -> None:
    await connection.execute(LATER.format(clock="now", by="2 hours"))
    await connection.execute("set application_name = 'a forgotten console'")
    pid = await connection.fetchval("select pg_backend_pid()")

    async with connection.transaction():
        await connection.fetch("select 1")
        ended = await doctor(dsn)

    ((what, remedy),) = (each[1:] for each in found(ended, "fault") if each[0] == "transactions")
    assert what.startswith(f"session {pid} of ")
    assert "(a forgotten console, idle in transaction) has a transaction open for 2h" in what
    assert "pg_terminate_backend" in remedy


async def test_dead_rows_that_nobody_removed_are_recognised(
    dsn: str, connection: Connection
) -> None:
    await engine.insert(connection)
    # As long as this snapshot lives, autovacuum may come and remove nothing.
    async with another(dsn) as holder, holder.transaction(isolation="repeatable_read"):
        await holder.fetch("select 1")
        await connection.execute(DEAD_ROWS)
        await connection.execute("select pg_stat_force_next_flush()")
        ended = await doctor(dsn)

    ((what, remedy),) = (each[1:] for each in found(ended, "warning") if each[0] == "bloat")
    assert "chimeway.jobs has 1" in what
    assert "vacuum chimeway.jobs" in remedy


async def test_a_listener_that_hears_nothing_fills_the_queue(
    dsn: str, connection: Connection
) -> None:
    async with another(dsn) as listener, another(dsn) as bystander:
        await listener.execute("listen elsewhere")
        async with listener.transaction():
            await listener.fetch("select 1")
            await bystander.execute(
                "select pg_notify('elsewhere', n || repeat('.', 7000)) "
                "from generate_series(1, 100) as n"
            )
            usage = await db_facts.queue_usage(connection)

    assert 0 < usage < 1
