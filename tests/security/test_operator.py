"""Operators' and readers' commands under their roles, and what a login without a role is told."""

from pathlib import Path

import asyncpg
import engine
import logins
import pytest
from commands import chimewayd

from chimewayd.models import Status

pytestmark = pytest.mark.anyio

WHY = ("--reason", "no longer wanted")
SINK = {"CHIMEWAYD_CHANNELS__BIN__ADAPTER": "sink"}


async def test_operator_can_give_every_command_of_theirs(
    dsn: str, connection: engine.Connection
) -> None:
    await engine.configure(connection)
    one, two = [str(await engine.insert(connection)) for _ in range(2)]
    failed = str(await engine.delivery_in(connection, Status.CANCELLED))
    commands = [
        ("status",),
        ("explain", one),
        ("hold", one, *WHY),
        ("release", one),
        ("cancel", one, *WHY),
        ("suppress", two, *WHY),
        ("replay", failed),
        ("replay", "--channel", "email", "--status", "suppressed", "--yes"),
        ("pause", "email", *WHY),
        ("resume", "email"),
        ("migrate", "--check"),
    ]

    async with logins.login(dsn, "chimeway_operator") as own:
        ended = [await chimewayd("--dsn", own, *command) for command in commands]
        sent = await chimewayd("--dsn", own, "send", "email", "ada", "--payload", "{}")

    assert [(each.exit_code, each.stderr) for each in ended] == [(0, "")] * len(commands)
    assert sent.exit_code == 1
    assert "permission denied for table deliveries" in sent.stderr
    assert "chimeway_producer to send" in sent.stderr


async def test_operator_keeps_the_list_of_suppressions_and_switches_channels(
    dsn: str, connection: engine.Connection
) -> None:
    await engine.configure(connection)

    async with logins.session(dsn, "chimeway_operator") as operator:
        await operator.execute(
            "insert into chimeway.suppressions (recipient, actor) values ('ada', 'ops')"
        )
        await operator.execute("update chimeway.suppressions set channel = 'email'")
        await operator.execute("update chimeway.channels set enabled = false")
        await operator.execute("delete from chimeway.suppressions")
        for forbidden in (
            "select payload from chimeway.deliveries",
            "update chimeway.deliveries set status = 'succeeded'",
            "update chimeway.channels set max_attempts = 1",
            "delete from chimeway.channels",
            "delete from chimeway.delivery_events",
            "select * from chimeway.claim(1, 'd', '{email}', '{9}', 9, '1 min', false, false)",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await operator.execute(forbidden)


async def test_reader_sees_the_state_and_neither_people_nor_payloads(
    dsn: str, connection: engine.Connection
) -> None:
    await engine.configure(connection)
    delivery_id = await engine.delivery_in(connection, Status.FAILED)

    async with logins.session(dsn, "chimeway_reader") as reader:
        story = await reader.fetch("select * from chimeway.explain($1)", delivery_id)
        assert await reader.fetch("select * from chimeway.stats()")
        assert await reader.fetch("select * from chimeway.delivery_attempts")
        assert await reader.fetchval("select status from chimeway.deliveries") == "failed"
        for forbidden in (
            "select recipient from chimeway.deliveries",
            "select payload from chimeway.deliveries",
            "select metadata from chimeway.deliveries",
            "select * from chimeway.suppressions",
            "select * from chimeway.find_deliveries(null, 1)",
            "select * from chimeway.cancel(gen_random_uuid(), 'x', 'me')",
            "insert into chimeway.deliveries (channel, recipient, payload) values ('a', 'b', '{}')",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await reader.execute(forbidden)

    assert story
    assert "ada@example.org" not in str(story)


@pytest.mark.parametrize(
    ("command", "role"),
    [
        (("run",), "chimeway_daemon"),
        (("status",), "chimeway_reader"),
        (("cancel", "01a202e3-f297-7352-ac3f-4b42c821f228", *WHY), "chimeway_operator"),
        (("send", "email", "ada", "--payload", "{}"), "chimeway_producer"),
    ],
)
async def test_login_without_a_role_is_told_which_one_it_needs(
    dsn: str, command: tuple[str, ...], role: str
) -> None:
    async with logins.login(dsn) as own:
        ended = await chimewayd("--dsn", own, *command, environment=SINK)

    assert ended.exit_code == 1
    assert "permission denied for schema chimeway" in ended.stderr
    assert role in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_printed_sql_needs_no_superuser(empty_dsn: str, tmp_path: Path) -> None:
    printed = await chimewayd("migrate", "--sql")
    (tmp_path / "chimeway.sql").write_text(printed.stdout, "utf-8")
    async with logins.session(empty_dsn) as app:
        name = await app.fetchval("select current_user")
        database = await app.fetchval("select current_database()")
        owner = await asyncpg.connect(empty_dsn)
        await owner.execute(f"grant create on database {database} to {name}")
        await app.execute(printed.stdout)
        assert (
            await owner.fetchval(
                "select nspowner::regrole::text from pg_namespace where nspname = 'chimeway'"
            )
            == name
        )
        await owner.close()
        await engine.insert(app)
