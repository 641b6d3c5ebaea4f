"""`chimewayd doctor` against set-ups that are really broken, each in its way, and a healthy one."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import databases
import engine
import pytest
from commands import chimewayd
from examined import doctor, found
from pooler import pooled

from chimewayd import __version__
from chimewayd.models import Status

pytestmark = pytest.mark.anyio

EXPECTED_OF_A_TEST_SERVER = ("server", "warning")
"""It runs without fsync, for nothing on it must survive."""


async def test_a_healthy_set_up_is_green(dsn: str, connection: engine.Connection) -> None:
    await connection.execute(
        "select chimeway.register_daemon('d1', $1, array['email'])", __version__
    )
    await engine.configure(connection)
    # What waits comes last: a claim takes all that does.
    for status in sorted(Status, key=lambda status: status is Status.PENDING):
        await engine.delivery_in(connection, status)

    ended = await doctor(dsn)

    levels = {(each["check"], each["level"]) for each in ended.document["findings"]}
    assert {pair for pair in levels if pair[1] != "ok"} <= {EXPECTED_OF_A_TEST_SERVER}
    assert {check for check, _ in levels} == {
        *("settings", "adapters", "connect", "server", "clock", "schema", "rights", "roles"),
        "triggers",
        *("notifications", "notify queue", "connections", "vacuum", "bloat", "transactions"),
        *("daemons", "invariant"),
    }
    assert (ended.exit_code, ended.document["healthy"], ended.stderr) == (0, True, "")


SETTINGS: dict[str, tuple[Mapping[str, str], str, str]] = {
    "misspelt": ({"concurency": "3"}, "settings", "did you mean concurrency"),
    "no such adapter": (
        {"channels": '{"email": {"adapter": "smpt"}}'},
        *("adapters", "no adapter is called 'smpt'"),
    ),
    "adapter's own": (
        {"channels": '{"hooks": {"adapter": "webhook", "settings": {"secrt": "x"}}}'},
        *("adapters", "did you mean 'secret'"),
    ),
    "no DSN": ({"dsn": "mysql://localhost"}, "dsn", "postgresql://"),
    "nobody there": ({"dsn": "postgresql://127.0.0.1:1/app"}, "connect", "127.0.0.1:1/app"),
    "other database for LISTEN": (
        {"listen_dsn": "postgresql://127.0.0.1:1/app"},
        *("notifications", "listen_dsn: cannot connect"),
    ),
}


@pytest.mark.parametrize("case", SETTINGS)
async def test_wrong_settings_are_recognised(case: str, dsn: str) -> None:
    settings, check, said = SETTINGS[case]

    ended = await doctor(**{"dsn": dsn, **settings})

    ((where, what, remedy),) = found(ended, "fault")
    assert where == check
    assert said in what
    assert remedy
    assert ended.exit_code == 1


OF_THE_DATABASE = "do $$ begin execute format('alter database %I {}', current_database()); end $$"
DAMAGES: dict[str, tuple[str, str, str, str]] = {
    "trigger disabled": (
        "alter table chimeway.deliveries disable trigger enqueue_jobs",
        *("triggers", "trigger enqueue_jobs on chimeway.deliveries is disabled"),
        "alter table chimeway.deliveries enable trigger enqueue_jobs",
    ),
    "trigger missing": (
        "drop trigger guard_history on chimeway.delivery_events",
        *("triggers", "trigger guard_history on chimeway.delivery_events is missing"),
        "chimewayd migrate",
    ),
    "schema of another release": (
        "update chimeway.schema_migrations set checksum = 'other' where name = 'functions'",
        *("schema", "functions in the database are those of another", "chimewayd migrate"),
    ),
    "applied migration edited": (
        "update chimeway.schema_migrations set checksum = 'x' where name = '0001_initial'",
        *("schema", "was applied with another text", "migrate"),
    ),
    "vacuum switched off": (
        "alter table chimeway.jobs set (autovacuum_enabled = false)",
        *("vacuum", "autovacuum leaves out chimeway.jobs"),
        "alter table chimeway.jobs reset (autovacuum_enabled)",
    ),
    "job taken away": (
        "delete from chimeway.jobs",
        *("invariant", "pending, and no job waits", "chimewayd doctor --repair"),
    ),
    "claim taken away": (
        "delete from chimeway.claims",
        *("invariant", "which does not exist", "chimewayd doctor --repair"),
    ),
    "read only": (
        OF_THE_DATABASE.format("set default_transaction_read_only = on"),
        *("server", "it takes no writes", "target_session_attrs=read-write"),
    ),
    "no more connections": (
        OF_THE_DATABASE.format("connection limit 3"),
        *("connections", "a daemon opens 7", "alter database"),
    ),
}


@pytest.mark.parametrize("case", DAMAGES)
async def test_damage_is_recognised_with_what_to_do(
    case: str, dsn: str, connection: engine.Connection
) -> None:
    damage, check, said, todo = DAMAGES[case]
    await engine.configure(connection)
    await engine.delivery_in(connection, Status.DISPATCHED)
    await engine.delivery_in(connection, Status.PENDING)
    await connection.execute(damage)

    ended = await doctor(dsn)

    ((where, what, remedy),) = found(ended, "fault")
    assert where == check
    assert said in what
    assert todo in remedy
    assert ended.exit_code == 1


async def test_a_database_without_the_schema_is_recognised(empty_dsn: str) -> None:
    ended = await doctor(empty_dsn)

    ((check, what, remedy),) = found(ended, "fault")
    assert (check, "no chimeway schema" in what) == ("schema", True)
    assert "chimewayd migrate" in remedy


@asynccontextmanager
async def stranger(connection: engine.Connection, dsn: str) -> AsyncIterator[str]:
    """Make a role without any right; yield the DSN with which it connects."""
    role = f"stranger_{urlsplit(dsn).path.rpartition('_')[2]}"
    await connection.execute(f"create role {role} login password 'secret'")
    parts = urlsplit(dsn)
    try:
        yield parts._replace(netloc=f"{role}:secret@{parts.netloc.rpartition('@')[2]}").geturl()
    finally:
        await connection.execute(f"drop owned by {role}; drop role {role}")


async def test_a_role_without_rights_is_recognised(dsn: str, connection: engine.Connection) -> None:
    async with stranger(connection, dsn) as strangers_dsn:
        ended = await doctor(strangers_dsn)

    ((check, what, remedy),) = found(ended, "fault")
    assert (check, "may not use the schema" in what) == ("rights", True)
    assert "grant chimeway_daemon to stranger_" in remedy


async def test_a_role_without_the_daemons_functions_is_recognised(
    dsn: str, connection: engine.Connection
) -> None:
    async with stranger(connection, dsn) as strangers_dsn:
        role = urlsplit(strangers_dsn).username
        await connection.execute(
            f"grant usage on schema chimeway to {role}; "
            f"grant select on chimeway.schema_migrations to {role}"
        )
        ended = await doctor(strangers_dsn)

    ((check, what, _),) = found(ended, "fault")
    assert (check, "may not execute chimeway.claim(" in what) == ("rights", True)
    assert {check for check, *_ in found(ended, "unknown")} == {"roles", "daemons", "invariant"}


async def test_a_transaction_pooler_is_named_and_a_direct_listen_dsn_helps(dsn: str) -> None:
    with pooled(dsn) as pooled_dsn:
        bare = await doctor(pooled_dsn)
        direct = await doctor(pooled_dsn, listen_dsn=dsn)

    ((check, what, remedy),) = found(bare, "fault")
    assert (check, "PgBouncer" in what) == ("notifications", True)
    assert "listen_dsn" in remedy
    assert found(direct, "fault") == []


async def test_a_listen_dsn_of_another_database_is_recognised(
    dsn: str, postgres: databases.Postgres
) -> None:
    ended = await doctor(dsn, listen_dsn=postgres.dsn)

    ((check, what, _),) = found(ended, "fault")
    assert (check, what) == (
        "notifications",
        "what is notified on dsn is not heard on listen_dsn",
    )


async def test_a_daemon_of_another_version_and_none_at_all_are_warnings(
    dsn: str, connection: engine.Connection
) -> None:
    none = await doctor(dsn)
    await connection.execute("select chimeway.register_daemon('d1', '0.0.1', array['email'])")
    other = await doctor(dsn)

    said = [
        [what for check, what, _ in found(ended, "warning") if check == "daemons"]
        for ended in (none, other)
    ]
    assert said[0] == ["none was heard within half a minute"]
    assert "d1 (0.0.1)" in said[1][0]
    assert (none.exit_code, other.exit_code) == (0, 0)


async def rescue(connection: engine.Connection) -> list[Any]:
    await engine.move_clock(connection, timedelta(minutes=1))  # the server may have begun just now
    return await connection.fetch("select * from chimeway.rescue(10)")


REPAIRS: dict[str, tuple[str, Callable[[engine.Connection], Awaitable[Any]]]] = {
    "delete from chimeway.jobs": ("queued it", engine.claim),
    "delete from chimeway.claims": ("gave it a claim that ran out", rescue),
    "insert into chimeway.jobs select delivery_id, now(), position, priority, rings, is_suspect, "
    "channel from chimeway.jobs": ("took away all jobs but one", engine.claim),
    "insert into chimeway.jobs (delivery_id, due_at, position, priority, channel) "
    "select id, now(), position, priority, channel from chimeway.deliveries "
    "where status = 'succeeded'": ("took away its job", engine.claim),
}


@pytest.mark.parametrize("damage", REPAIRS)
async def test_repair_lets_every_delivery_move_on(
    damage: str, dsn: str, connection: engine.Connection
) -> None:
    how, move_on = REPAIRS[damage]
    await engine.configure(connection)
    await engine.delivery_in(connection, Status.SUCCEEDED)
    await engine.delivery_in(connection, Status.DISPATCHED)
    await engine.delivery_in(connection, Status.PENDING)
    await connection.execute(damage)

    repaired = await doctor(dsn, "--repair")

    assert repaired.exit_code == 0
    assert [said.startswith(how) for said in repaired.document["repaired"].values()] == [True]
    await engine.check_invariants(connection)
    assert await move_on(connection)
    assert (await doctor(dsn, "--repair")).document == {"repaired": {}}


async def test_people_read_the_level_the_check_and_what_to_do(
    dsn: str, connection: engine.Connection
) -> None:
    await connection.execute("alter table chimeway.jobs set (autovacuum_enabled = false)")

    ended = await chimewayd("--dsn", dsn, "doctor")

    lines = ended.stdout.splitlines()
    place = lines.index("fault    vacuum         autovacuum leaves out chimeway.jobs")
    assert lines[place + 1].strip() == ("→ alter table chimeway.jobs reset (autovacuum_enabled)")
    assert lines[-1].startswith("13 ok") or " 1 fault, " in lines[-1]
