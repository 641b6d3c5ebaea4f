"""A migration says on a terminal which it is, and how far Postgres is with it."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import asyncpg
import engine
import pytest
from commands import DEADLINE_SECONDS
from terminal import on_a_terminal

from chimewayd import migrate
from chimewayd.cli.migrating import LOOK_SECONDS, Look, Watch, describe
from chimewayd.cli.session import Sources

pytestmark = pytest.mark.anyio

GATE = 7
STEPS = len(migrate.migrations()) + 1
SECOND = f"migrate 2/{STEPS} 0002_attempts_by_time"

HELD_INDEX = f"""
create function public.hold() returns event_trigger language plpgsql as $$
begin
  while exists (select from pg_catalog.pg_event_trigger_ddl_commands()
      where object_identity = 'chimeway.delivery_attempts_finished_at')
    and not pg_catalog.pg_try_advisory_xact_lock({GATE})
  loop
    perform pg_catalog.pg_sleep(0.05);
  end loop;
end
$$;
create event trigger hold on ddl_command_end when tag in ('CREATE INDEX')
  execute function public.hold();
"""
BIG_TABLE = f"""
create table public.big as select n from generate_series(1, 20000) as n;
create function public.held(n integer) returns integer immutable language plpgsql as $$
begin
  while n = 10000 and not pg_catalog.pg_try_advisory_xact_lock({GATE}) loop
    perform pg_catalog.pg_sleep(0.05);
  end loop;
  return n;
end
$$;
"""  # noqa: S608 - a number of our own
PART = re.compile(
    r"migrate 1/1 0009_big: [1-9]\d?%(, [\d,]+ blocks/s)?(, [\d:]+ left)?, "
    r"building index: scanning table"
)
END_PROGRESS = """
select count(pg_terminate_backend(pid)) from pg_stat_activity
where application_name = 'chimewayd/progress' and datname = current_database()
"""


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[engine.Connection]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        connection.terminate()


async def until(is_so: Callable[[], bool]) -> None:
    with anyio.fail_after(DEADLINE_SECONDS):
        while not is_so():  # noqa: ASYNC110 - it comes of another process
            await anyio.sleep(0.05)


@pytest.mark.parametrize("loses_the_second_session", [False, True])
async def test_a_terminal_sees_which_of_how_many(
    empty_dsn: str, *, loses_the_second_session: bool
) -> None:
    shown = [""]
    async with connected(empty_dsn) as connection, anyio.create_task_group() as tasks:
        await connection.execute(HELD_INDEX)
        await connection.execute(f"select pg_advisory_lock({GATE})")

        async def release() -> None:
            await until(lambda: f"{SECOND}: for 0:0" in shown[-1])
            if loses_the_second_session:
                assert await connection.fetchval(END_PROGRESS) == 1
                await anyio.sleep(3 * LOOK_SECONDS)  # it would look again
            await connection.execute(f"select pg_advisory_unlock({GATE})")

        tasks.start_soon(release)
        status, everything = await on_a_terminal("--dsn", empty_dsn, "migrate", heard=shown.append)

    assert status == 0
    assert f"migrate {STEPS}/{STEPS} functions" in everything
    assert everything.rpartition("functions")[2].strip() == ""


async def test_json_goes_without(empty_dsn: str) -> None:
    assert await on_a_terminal("--dsn", empty_dsn, "migrate", "--json") == (0, "")


async def test_nothing_to_do_shows_nothing(dsn: str) -> None:
    assert await on_a_terminal("--dsn", dsn, "migrate") == (0, "")


async def test_an_index_that_is_built_says_its_share(
    dsn: str, connection: engine.Connection
) -> None:
    shown: list[str] = [""]
    watch = Watch(shown.append)
    await connection.execute(BIG_TABLE)
    await connection.execute(f"select pg_advisory_lock({GATE})")
    async with connected(dsn) as builder, anyio.create_task_group() as tasks:
        await builder.execute("select pg_advisory_lock($1)", migrate.LOCK)
        watch.begin(migrate.Step(1, 1, "0009_big"))
        tasks.start_soon(builder.execute, "create index on public.big (public.held(n))")
        tasks.start_soon(watch.look, Sources(dsn=dsn))

        await until(lambda: PART.fullmatch(shown[-1]) is not None)
        tasks.cancel_scope.cancel()


async def test_who_stands_in_the_way_is_named(dsn: str, connection: engine.Connection) -> None:
    shown: list[str] = [""]
    watch = Watch(shown.append)
    await connection.execute("create table public.small (n integer)")
    async with connected(dsn) as builder, connection.transaction():
        await connection.execute("lock table public.small in access exclusive mode")
        await builder.execute("select pg_advisory_lock($1)", migrate.LOCK)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(builder.execute, "create index on public.small (n)")
            tasks.start_soon(watch.look, Sources(dsn=dsn))

            waits = f": waits for a lock of session {connection.get_server_pid()}"
            await until(lambda: shown[-1].endswith(waits))
            tasks.cancel_scope.cancel()


def test_rate_and_time_left_are_since_the_phase_began() -> None:
    def look(at: float, done: int) -> Look:
        return Look(at, (), 1, "building index: scanning table", "blocks", done, 10_000)

    assert describe(look(10, 1000), look(12, 3000)) == (
        "30%, 1,000 blocks/s, 0:07 left, building index: scanning table"
    )
    assert describe(look(10, 1000), look(12, 1000)).startswith("10%, 0 blocks/s, building")
    assert describe(look(10, 1000), look(10, 1000)) == "10%, building index: scanning table"
    assert describe(look(0, 0), look(3, 3)).startswith("0%, 1 blocks/s, 2:46:37 left")
    assert not look(12, 1).goes_on_with(Look(10, (), 1, "building index", "rows", 1, 10_000))


def test_phase_without_figures_is_named() -> None:
    assert describe(Look(0), Look(0, (), 1, "initializing", "rows", 0, 0)) == "initializing"
