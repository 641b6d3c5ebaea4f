"""`chimewayd migrate`."""

import subprocess
from functools import partial

import anyio
import asyncpg
import engine
import pytest
from commands import COMMAND, chimewayd, clean_environment
from logins import login
from running import eventually

from chimewayd import migrate

pytestmark = pytest.mark.anyio

SLOW = """
create function slow() returns event_trigger language plpgsql as $$
begin
  perform pg_sleep(600);
end
$$;
create event trigger slow on ddl_command_end when tag in ('CREATE TABLE') execute function slow();
"""
AT_WORK = """
select count(*) from pg_stat_activity
where application_name = 'chimewayd/command' and datname = current_database()
  and wait_event = 'PgSleep'
"""
EVERYTHING = [*(script.name for script in migrate.migrations()), "functions", "rights"]


async def test_migrate_applies_everything_and_names_it(empty_dsn: str) -> None:
    ended = await chimewayd("migrate", "--dsn", empty_dsn)

    assert (ended.exit_code, ended.stderr) == (0, "")
    assert ended.stdout.splitlines() == [f"applied: {name}" for name in EVERYTHING]
    assert (await chimewayd("send", "log", "me", "--payload", "{}", "--dsn", empty_dsn)).stdout


async def test_migrate_a_second_time_has_nothing_to_do(dsn: str) -> None:
    ended = await chimewayd("migrate", "--dsn", dsn)

    assert (ended.exit_code, ended.stdout) == (0, "up to date\n")


async def test_migrate_json_names_what_was_applied(empty_dsn: str) -> None:
    first = await chimewayd("migrate", "--json", "--dsn", empty_dsn)
    second = await chimewayd("migrate", "--json", "--dsn", empty_dsn)

    assert first.document == {"applied": EVERYTHING, "missing_roles": []}
    assert second.document == {"applied": [], "missing_roles": []}


async def test_check_of_an_empty_database_is_1_and_changes_nothing(empty_dsn: str) -> None:
    ended = await chimewayd("migrate", "--check", "--dsn", empty_dsn)

    assert ended.exit_code == 1
    assert ended.stdout.splitlines() == [f"pending: {name}" for name in EVERYTHING]
    connection = await asyncpg.connect(empty_dsn)
    assert await connection.fetchval("select to_regnamespace('chimeway')") is None
    await connection.close()


async def test_check_of_a_migrated_database_is_0(dsn: str) -> None:
    ended = await chimewayd("migrate", "--check", "--json", "--dsn", dsn)

    assert (ended.exit_code, ended.document) == (0, {"pending": [], "missing_roles": []})


async def test_printed_sql_does_what_migrate_does(empty_dsn: str) -> None:
    printed = await chimewayd("migrate", "--sql")
    connection = await asyncpg.connect(empty_dsn)
    await connection.execute(printed.stdout)
    await connection.close()

    ended = await chimewayd("migrate", "--check", "--dsn", empty_dsn)

    assert (ended.exit_code, ended.stdout) == (0, "up to date\n")


async def test_sql_goes_alone() -> None:
    ended = await chimewayd("migrate", "--sql", "--check")

    assert ended.exit_code == 2
    assert "--sql goes alone" in ended.stderr


async def test_a_database_of_a_newer_release_is_78_and_is_left_alone(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute(
        "insert into chimeway.schema_migrations (name, checksum, release) "
        "values ('9999_future', 'x', '9.9')"
    )
    await connection.close()

    ended = await chimewayd("migrate", "--dsn", dsn)

    assert ended.exit_code == 78
    assert "9999_future" in ended.stderr
    assert "install that release" in ended.stderr


@pytest.mark.parametrize("role", ["chimeway_daemon", "chimeway_producer"])
async def test_login_that_may_not_migrate_is_told_who_may(
    dsn: str, connection: engine.Connection, role: str
) -> None:
    await connection.execute("delete from chimeway.schema_migrations where name = 'functions'")
    async with login(dsn, role) as own:
        ended = await chimewayd("migrate", "--dsn", own)

    assert (ended.exit_code, ended.stdout) == (1, "")
    assert ended.stderr.startswith("chimewayd: permission denied for ")
    assert ended.stderr.endswith(
        ": chimeway_owner owns the schema; migrate as a member of that, or as a superuser\n"
    )


async def test_server_does_not_go_on_for_a_migrate_that_was_killed(empty_dsn: str) -> None:
    """It held its locks until the statement ended, however long that took."""
    connection = await asyncpg.connect(empty_dsn)
    await connection.execute(SLOW)
    process = await anyio.open_process(
        [str(COMMAND), "--dsn", empty_dsn, "migrate"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=clean_environment(),
    )
    await eventually(partial(connection.fetchval, AT_WORK), 1)

    process.kill()
    await process.wait()

    await eventually(partial(connection.fetchval, AT_WORK), 0)
    await connection.close()
