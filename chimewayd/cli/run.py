"""`chimewayd run`: the daemon."""
# ruff: noqa: D301, PLC0415 - click wants a real \b; imports inside the command keep --help quick

import os
import sys
from typing import TYPE_CHECKING

import click

from chimewayd.cli.session import Sources, database, pass_sources, source_options

if TYPE_CHECKING:
    from chimewayd.config import Settings


@click.command("run")
@click.option("--migrate", "wants_migration", is_flag=True, help="Migrate the database first.")
@source_options
@pass_sources
def command(sources: Sources, *, wants_migration: bool) -> None:
    """Deliver what is inserted, until SIGTERM or Ctrl-C.

    On the first signal calls in flight may finish (the setting shutdown_grace) and what was not
    begun is given back; a second signal ends everything at once. Logs go to stdout: JSON, or
    columns on a terminal.

    \b
    A configuration file:
      dsn = "postgresql://localhost/app"
      [channels.hooks]
      adapter = "webhook"

    \b
    Examples:
      chimewayd run --config chimewayd.toml
      CHIMEWAYD_CHANNELS__HOOKS__ADAPTER=webhook chimewayd --dsn postgresql://localhost/app run
    """
    import anyio

    from chimewayd import log

    settings = sources.load()
    _require_channel(settings)
    log.setup(settings.log_level, settings.log_format)
    anyio.run(_serve, settings, wants_migration, backend_options={"use_uvloop": True})


def _require_channel(settings: "Settings") -> None:
    from chimewayd.errors import ConfigError

    if not settings.channels:
        raise ConfigError(
            "channels",
            "none is configured, so there is nothing to serve",
            'a table for each, as in [channels.hooks] with adapter = "webhook", in the file of '
            "--config; or a variable, as in CHIMEWAYD_CHANNELS__HOOKS__ADAPTER=webhook",
        )


async def _serve(settings: "Settings", wants_migration: bool) -> None:
    from chimewayd import daemon

    if wants_migration:
        await _migrate(settings)
    abandoned = await daemon.serve(settings)
    if abandoned:
        # A task that cannot be cancelled would keep the event loop, and us, from ending.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)


async def _migrate(settings: "Settings") -> None:
    import structlog

    from chimewayd import migrate
    from chimewayd.log import Event

    async with database(settings) as connection:
        for name in await migrate.apply(connection):
            structlog.get_logger().info(Event.MIGRATION_APPLIED, migration=name)
