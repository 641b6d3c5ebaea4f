"""What `doctor` looks at, in which order.

    settings ─▶ adapters ─▶ connect ─▶ server, clock ─▶ schema ─▶ rights, triggers ─▶ the rest
                               └─ no ──▶ nothing else can be known

Facts come from `db_facts` and are judged by `rules`; a fact that cannot be had is a finding too.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import asyncpg

from chimewayd import db_facts, migrate, session
from chimewayd import dsn as dsn_module
from chimewayd import rights as rights_module
from chimewayd.diagnosis import channels, notifications, roles, rules
from chimewayd.diagnosis.finding import Finding, Level, fault, ok, unknown, warning
from chimewayd.errors import ChimewaydError, ConfigError, ConfigErrors, DatabaseUnavailable
from chimewayd.startup import make_adapters

if TYPE_CHECKING:
    from chimewayd.config import Settings

__all__ = ["STRANDED_LIMIT", "Finding", "Level", "examine", "fault", "ok"]

Fact = TypeVar("Fact")

STRANDED_LIMIT = 1000
DAEMON_FUNCTIONS = [
    *("claim", "record", "record_unlocked", "release_unsent", "find_unheard", "next_due"),
    *("heartbeat", "register_daemon", "forget_daemons", "configure_channel", "pause_channel"),
    *("end_orphaned_leases", "rescue", "expire", "roll_up_tallies", "unserved_channels"),
    *("configure_retention", "prune", "open_breaker", "open_breakers", "serving_daemons", "clock"),
]
_TRIGGER = re.compile(
    r"create (?:or replace )?(?:constraint )?trigger (\w+)\s+[^;]*?\son chimeway\.(\w+)"
)


async def examine(settings: "Settings", *, with_providers: bool) -> AsyncIterator[Finding]:
    """Examine everything; whether providers can be reached only if that is asked for."""
    for finding in examine_adapters(settings):
        yield finding
    dsn = settings.dsn.get_secret_value()
    try:
        connection = await session.connect(dsn)
    except ConfigError as error:
        yield fault("dsn", str(error), "write it as postgresql://user@host:port/database")
        return
    except DatabaseUnavailable as error:
        yield fault("connect", str(error), "nothing else can be examined without the database")
        return
    try:
        yield ok("connect", dsn_module.describe(dsn))
        async for finding in examine_database(connection, settings):
            yield finding
        recipients = await _recipients(connection, settings) if with_providers else {}
    except session.NOT_NOW as error:
        what = f"lost the database: {session.describe_error(error)}"
        yield fault("connect", what, "run chimewayd doctor again")
        return
    finally:
        connection.terminate()
    if with_providers:
        async for finding in channels.examine(settings, recipients):
            yield finding


async def _recipients(
    connection: asyncpg.Connection, settings: "Settings"
) -> dict[str, list[str]] | None:
    """Return recent recipients by channel; None: our role may not see any."""
    try:
        return {
            name: await db_facts.recent_recipients(connection, name) for name in settings.channels
        }
    except asyncpg.InsufficientPrivilegeError:
        return None
    except asyncpg.PostgresError:  # told of the schema
        return {}


def examine_adapters(settings: "Settings") -> list[Finding]:
    """Make each channel's adapter from its settings."""
    if not settings.channels:
        remedy = "add a table [channels.NAME] to the configuration file; --config names it"
        return [
            warning("adapters", "no channel is configured: a daemon would serve nobody", remedy)
        ]
    try:
        make_adapters(settings)
    except (ConfigError, ConfigErrors) as error:
        return [fault("adapters", str(one), "correct the setting") for one in error.errors]
    return [ok("adapters", f"each of {len(settings.channels)} can be made")]


async def examine_database(
    connection: asyncpg.Connection, settings: "Settings"
) -> AsyncIterator[Finding]:
    """Examine the server, the schema and the queue."""
    for finding in await _judge("server", db_facts.server(connection), rules.server):
        yield finding
    yield await _clock(connection)
    schema = await _schema(connection)
    yield schema
    if schema.level is not Level.OK:
        return
    expected = [(table, name) for name, table in _TRIGGER.findall(migrate.functions().sql)]
    dsn, secret = settings.dsn.get_secret_value(), settings.listen_dsn
    listen_dsn = None if secret is None else secret.get_secret_value()
    checks = (
        _judge("rights", db_facts.rights(connection, DAEMON_FUNCTIONS), roles.rights),
        _judge("roles", rights_module.owner(connection), lambda f: roles.owner(f[0])),
        _judge("roles", rights_module.missing_roles(connection), roles.roles),
        _judge("roles", rights_module.differences(connection), roles.grants),
        _judge("triggers", db_facts.triggers(connection), lambda f: rules.triggers(expected, f)),
        _judge("notifications", notifications.examine(connection, dsn, listen_dsn), lambda f: f),
        _judge("notify queue", db_facts.queue_usage(connection), rules.notify_queue),
        _judge("connections", db_facts.connections(connection), rules.connections),
        _judge("vacuum", db_facts.vacuum(connection), rules.vacuum),
        _judge("bloat", db_facts.tables(connection), rules.bloat),
        _judge("transactions", db_facts.oldest_snapshot(connection), rules.snapshot),
        _judge("daemons", db_facts.daemons(connection), rules.daemons),
        _judge("invariant", _stranded(connection), lambda f: rules.stranded(f, STRANDED_LIMIT)),
    )
    for check in checks:
        for finding in await check:
            yield finding


async def _judge(
    check: str, fact: Awaitable[Fact], rule: Callable[[Fact], Finding | list[Finding]]
) -> list[Finding]:
    try:
        findings = rule(await fact)
    except asyncpg.InsufficientPrivilegeError as error:
        remedy = "run doctor as one who may: a login with chimeway_reader or chimeway_operator"
        return [unknown(check, session.describe_error(error), remedy)]
    except asyncpg.QueryCanceledError:
        return [unknown(check, "it took too long", "run doctor again in a quiet moment")]
    return findings if isinstance(findings, list) else [findings]


async def _clock(connection: asyncpg.Connection) -> Finding:
    before = datetime.now(UTC)
    theirs = (await db_facts.server(connection)).now
    after = datetime.now(UTC)
    return rules.clock(theirs - (before + (after - before) / 2))


async def _schema(connection: asyncpg.Connection) -> Finding:
    try:
        await migrate.check(connection)
    except asyncpg.InsufficientPrivilegeError:
        facts = await db_facts.rights(connection, DAEMON_FUNCTIONS)
        found = roles.rights(facts)
        return found if found.level is not Level.OK else roles.ledger(facts)
    except ChimewaydError as error:
        return fault(
            "schema", str(error), "run chimewayd migrate, with the release you mean to run"
        )
    return ok("schema", "is this release's")


async def _stranded(connection: asyncpg.Connection) -> list[db_facts.Stranded]:
    await session.allow_long_statements(connection)
    return await db_facts.stranded(connection, STRANDED_LIMIT)
