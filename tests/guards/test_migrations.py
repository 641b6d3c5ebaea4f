"""migrate: one way to install and to upgrade, safe to run at any time, by anybody, twice."""

from collections.abc import AsyncIterator

import anyio
import asyncpg
import pytest
from engine import Connection, configure, delivery_in
from pooler import pooled

from chimewayd import migrate, session
from chimewayd.errors import MigrationDrift, SchemaMismatch
from chimewayd.models import Status

pytestmark = pytest.mark.anyio

FUNCTION_NAMES = """
select proname::text from pg_proc where pronamespace = 'chimeway'::regnamespace order by 1
"""
FORGET_FUNCTIONS = "update chimeway.schema_migrations set checksum = 'old' where name = 'functions'"

LOCKS_LEFT = """
select count(*) from pg_locks as l join pg_database as d on d.oid = l.database
where l.locktype = 'advisory' and d.datname = current_database()
"""

SHORT_SECONDS = 3
SLOW_INDEX = f"""
create function public.dawdle() returns event_trigger language plpgsql as $$
begin
  if exists (select from pg_catalog.pg_event_trigger_ddl_commands()
      where object_identity = 'chimeway.delivery_attempts_finished_at') then
    perform pg_catalog.pg_sleep({SHORT_SECONDS + 1});
  end if;
end
$$;
create event trigger dawdle on ddl_command_end when tag in ('CREATE INDEX')
  execute function public.dawdle();
"""


@pytest.fixture
async def empty(empty_dsn: str) -> AsyncIterator[Connection]:
    """A connection to an empty database."""
    connection = await asyncpg.connect(empty_dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def function_names(connection: Connection) -> list[str]:
    return [row[0] for row in await connection.fetch(FUNCTION_NAMES)]


async def test_fresh_install_takes_deliveries(empty: Connection) -> None:
    names = await migrate.apply(empty)

    assert names == [*(script.name for script in migrate.migrations()), "functions", "rights"]
    await migrate.check(empty)
    await configure(empty)
    await delivery_in(empty, Status.SUCCEEDED)


async def test_second_run_finds_nothing_to_do(empty: Connection) -> None:
    await migrate.apply(empty)
    before = await empty.fetch("select * from chimeway.schema_migrations")

    assert await migrate.apply(empty) == []

    assert await empty.fetch("select * from chimeway.schema_migrations") == before


async def test_idle_run_waits_for_nobodys_table_lock(empty: Connection, empty_dsn: str) -> None:
    await migrate.apply(empty)
    producer = await asyncpg.connect(empty_dsn)
    try:
        async with producer.transaction():
            await producer.execute("lock table chimeway.deliveries in access exclusive mode")
            with anyio.fail_after(10):
                assert await migrate.apply(empty) == []
    finally:
        await producer.close()


async def test_two_installs_at_once_both_succeed(empty_dsn: str) -> None:
    connections = [await asyncpg.connect(empty_dsn) for _ in range(2)]
    done: list[list[str]] = []

    async def install(connection: Connection) -> None:
        done.append(await migrate.apply(connection))

    try:
        async with anyio.create_task_group() as group:
            for connection in connections:
                group.start_soon(install, connection)
        await migrate.check(connections[0])
    finally:
        for connection in connections:
            await connection.close()

    assert sorted(map(len, done)) == [0, len(migrate.migrations()) + 2]


async def test_function_whose_file_is_gone_is_dropped(empty: Connection) -> None:
    await migrate.apply(empty)
    before = await function_names(empty)
    await empty.execute(
        "create function chimeway.retired(integer) returns integer language sql return $1;"
        "create function chimeway.cancel(uuid) returns uuid language sql return $1"
    )
    await empty.execute(FORGET_FUNCTIONS)

    assert await migrate.apply(empty) == ["functions", "rights"]

    assert await function_names(empty) == before


async def test_function_whose_file_is_gone_is_dropped_where_the_schema_changes_hands(
    empty: Connection,
) -> None:
    await migrate.apply(empty)
    before = await function_names(empty)
    await empty.execute(
        "alter schema chimeway owner to current_user;"
        "create function chimeway.cancel(uuid) returns uuid language sql return $1"
    )
    await empty.execute(FORGET_FUNCTIONS)

    assert await migrate.apply(empty) == ["functions", "rights"]

    assert await function_names(empty) == before


async def test_reinstalled_functions_keep_the_triggers_and_the_data(empty: Connection) -> None:
    triggers = "select tgname from pg_trigger where not tgisinternal order by tgrelid, tgname"
    await migrate.apply(empty)
    await configure(empty)
    delivery_id = await delivery_in(empty, Status.FAILED)
    before = await empty.fetch(triggers)
    await empty.execute(FORGET_FUNCTIONS)

    await migrate.apply(empty)

    assert await empty.fetch(triggers) == before
    assert await empty.fetchval("select delivery_id from chimeway.jobs") == delivery_id


async def test_edited_migration_is_drift(empty: Connection) -> None:
    await migrate.apply(empty)
    await empty.execute(
        "update chimeway.schema_migrations set checksum = 'edited' where name = '0001_initial'"
    )

    for command in (migrate.apply, migrate.check):
        with pytest.raises(MigrationDrift, match="0001_initial was applied with another text"):
            await command(empty)


async def test_database_of_a_newer_release_is_left_alone(empty: Connection) -> None:
    await migrate.apply(empty)
    await empty.execute(
        "insert into chimeway.schema_migrations (name, checksum, release) "
        "values ('9999_later', 'x', '99.0')"
    )
    await empty.execute(FORGET_FUNCTIONS)

    with pytest.raises(MigrationDrift, match=r"9999_later, which chimewayd .* does not know"):
        await migrate.apply(empty)
    with pytest.raises(SchemaMismatch, match=r"9999_later.*install that release"):
        await migrate.check(empty)

    checksum = await empty.fetchval(
        "select checksum from chimeway.schema_migrations where name = 'functions'"
    )
    assert checksum == "old"


async def test_failed_run_leaves_nothing_behind_and_frees_the_lock(
    empty: Connection, empty_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = migrate.Script("functions", "create function chimeway.broken() nonsense", "x")
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "functions", lambda: broken)
        with pytest.raises(asyncpg.PostgresSyntaxError):
            await migrate.apply(empty)

    assert await empty.fetchval("select to_regnamespace('chimeway')") is None
    other = await asyncpg.connect(empty_dsn)
    try:
        assert len(await migrate.apply(other)) == len(migrate.migrations()) + 2
    finally:
        await other.close()


async def test_big_table_takes_longer_than_other_statements_may(
    empty: Connection, empty_dsn: str
) -> None:
    await empty.execute(SLOW_INDEX)
    impatient = await asyncpg.connect(
        empty_dsn,
        command_timeout=SHORT_SECONDS,
        server_settings={"statement_timeout": f"{SHORT_SECONDS}s"},
    )
    try:
        assert "0002_attempts_by_time" in await migrate.apply(impatient)
    finally:
        await impatient.close()


async def test_empty_database_is_a_mismatch_that_names_the_remedy(empty: Connection) -> None:
    with pytest.raises(SchemaMismatch, match=r"no chimeway schema.*run `chimewayd migrate`"):
        await migrate.check(empty)


async def test_rendered_sql_does_all_that_migrate_does(empty: Connection) -> None:
    await empty.execute(migrate.render())

    assert await migrate.apply(empty) == []
    await configure(empty)
    await delivery_in(empty, Status.SUCCEEDED)


async def test_run_through_a_pooler_leaves_no_lock_behind(
    empty: Connection, empty_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = migrate.unfinished

    with pooled(empty_dsn, pool_size=3) as pooled_dsn:
        ours, other = await session.connect(pooled_dsn), await session.connect(pooled_dsn)

        async def unfinished(connection: Connection) -> list[str]:
            # Somebody takes the process of the server that we had, if it is free.
            await other.execute("begin; select 1")
            return await look(connection)

        monkeypatch.setattr(migrate, "unfinished", unfinished)
        names = await migrate.apply(ours)
        left = await empty.fetchval(LOCKS_LEFT)
        ours.terminate()
        other.terminate()

    assert "functions" in names
    assert left == 0
