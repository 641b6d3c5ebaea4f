"""What a daemon needs before its stages begin: adapters made, sessions open, itself made known.

adapters ─▶ connect ─▶ schema right? ─▶ sessions ─▶ configure channels ─▶ register
"""

import os
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import structlog

from chimewayd import __version__, adapters, db, dsn, failpoints, migrate
from chimewayd.adapters.base import Adapter
from chimewayd.adapters.staging import OneRecipient, SinkAll
from chimewayd.config import Settings
from chimewayd.database_tls import weakness
from chimewayd.errors import ConfigError, ConfigErrors, wrong
from chimewayd.log import Event
from chimewayd.session import Session, connect
from chimewayd.templates.templated import Templated, check_folder

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Sessions:
    """The database sessions of a daemon; see db.py for why there are several."""

    claims: Session
    claims_beside: Session
    records: Session
    records_beside: Session
    upkeep: Session


def make_adapters(settings: Settings, channels: Iterable[str] | None = None) -> dict[str, Adapter]:
    """Make the adapter of each channel, or of those named.

    In test mode nobody is written to in earnest, and each start says so.

    Raises:
        ConfigError, ConfigErrors: adapters, or settings of theirs, are wrong: all that are.
    """
    made: dict[str, Adapter] = {}
    errors: list[ConfigError] = []
    for name in settings.channels if channels is None else channels:
        try:
            made[name] = _make_adapter(name, settings)
        except (ConfigError, ConfigErrors) as error:
            errors += error.errors
    if errors:
        raise wrong(errors)
    return made


def _make_adapter(name: str, settings: Settings) -> Adapter:
    """Make the adapter of one channel, with the rendering of its templates before it."""
    channel = settings.channels[name]
    adapter = adapters.make(
        name, channel.adapter, channel.settings, channel.timeout, settings.source_of
    )
    if settings.sink_all:
        log.warning(Event.TEST_MODE, channel=name, mode="sink_all", what="nothing is sent")
        adapter = SinkAll()
    elif channel.recipient_override is not None:
        mode, what = "recipient_override", "everything goes to one recipient of the configuration"
        log.warning(Event.TEST_MODE, channel=name, mode=mode, what=what)
        adapter = OneRecipient(adapter, channel.recipient_override)
    if channel.templates is None:
        return adapter
    check_folder(name, channel.templates, settings.source_of(("channels", name, "templates")))
    return Templated(adapter, channel.templates, channel.timeout)


async def join(stack: AsyncExitStack, settings: Settings) -> tuple[Sessions, db.Identity]:
    """Open the sessions, check the schema, and make ourselves and our channels known."""
    url = settings.dsn.get_secret_value()
    if dropped := dsn.parse(url, os.environ).dropped:
        log.warning(Event.CONFIG_DROPPED_OPTION, setting="dsn", options=list(dropped))
    connection = await connect(url)
    if danger := weakness(connection):
        log.warning(
            Event.DATABASE_UNPROTECTED,
            reason=danger,
            remedy="no sslmode in the DSN, and sslrootcert=/path/to/ca.pem if need be",
        )
    try:
        await migrate.check(connection)
        if asked_for := os.environ.get(failpoints.VARIABLE):
            failpoints.arm(asked_for, await connection.fetchval(failpoints.IS_TEST))
    finally:
        connection.terminate()
    roles = ("claims", "claims-2", "records", "records-2", "upkeep")
    opened = [await stack.enter_async_context(Session(url, role)) for role in roles]
    sessions = Sessions(*opened)
    for name, channel in settings.channels.items():
        await db.configure_channel(sessions.upkeep, name, channel)
    names = tuple(sorted(settings.channels))
    daemon_id = await db.register_daemon(sessions.upkeep, settings.name, __version__, names)
    log.info(
        Event.DAEMON_STARTED,
        name=settings.name,
        version=__version__,
        database=dsn.describe(url),
        channels=list(names),
        concurrency=settings.concurrency,
    )
    return sessions, db.Identity(daemon_id, settings.name, __version__, names, settings.lease)
