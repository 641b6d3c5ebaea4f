"""`chimewayd run`: the daemon, or several of them side by side."""
# ruff: noqa: D301, PLC0415 - click wants a real \b; imports inside the command keep --help quick

import faulthandler
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, NoReturn

import click

from chimewayd.cli.session import Sources, database, pass_sources, require_channel, source_options

if TYPE_CHECKING:
    from chimewayd.config import Settings
    from chimewayd.http_address import HttpAddress
    from chimewayd.systemd import Notifier

LONGEST_NAME = 63
MOST_PROCESSES = 64

LAST_SECONDS = 15.0
"""More than a daemon needs to end once the grace of its calls is over."""

CUT_SECONDS = 5.0
"""How long what was cut at the last moment may take to clean up."""

LOOK_UP_SECONDS = 1.0
"""How long a look-up may hold up the process of a daemon that has stopped; it cannot be cut."""


@click.command("run")
@click.option("--migrate", "wants_migration", is_flag=True, help="Migrate the database first.")
@click.option(
    "--processes",
    type=click.IntRange(1, MOST_PROCESSES),
    default=1,
    envvar="CHIMEWAYD_PROCESSES",
    show_default=True,
    show_envvar=True,
    metavar="N",
    help="Run N daemons, name-1 to name-N; each has the whole concurrency of the settings.",
)
@click.option("--member", type=click.IntRange(min=1), hidden=True)  # which of N this process is
@source_options
@pass_sources
def command(sources: Sources, *, wants_migration: bool, processes: int, member: int | None) -> int:
    """Deliver what is inserted, until SIGTERM or Ctrl-C.

    On the first signal calls in flight may finish (the setting shutdown_grace) and what was not
    begun is given back; a second signal ends everything at once. Logs go to stdout: JSON, or
    columns on a terminal.

    One process uses one core. With --processes N the limits of concurrency, the daemon's and each
    channel's, are each process's own: in all there may be N times as many calls. A process that
    dies is replaced; a wrong setting ends all. Where http_listen is set, the first
    listens there and the others on the ports that follow.

    \b
    A configuration file:
      dsn = "postgresql://localhost/app"
      [channels.hooks]
      adapter = "webhook"

    \b
    Examples:
      chimewayd run --config chimewayd.toml
      chimewayd run --config chimewayd.toml --processes 4
      CHIMEWAYD_CHANNELS__HOOKS__ADAPTER=webhook chimewayd --dsn postgresql://localhost/app run
    """
    from chimewayd import exposed_secrets, log, log_context

    # One that comes during the start waits until it is heeded: the settings may be read by then.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    faulthandler.enable()  # a watchdog's SIGABRT shows where everything stood
    reread = partial(_read, sources, member)
    settings = reread()
    if member is not None:
        log_context.instance = settings.name
    log.setup(settings.log_level, settings.log_format)
    if member is None:
        exposed_secrets.warn(sources.config, sources.dsn)
    if member is None and processes > 1:
        return _supervise(sources, settings, processes, wants_migration)
    return _deliver(settings, reread, member, wants_migration)


def _read(sources: Sources, member: int | None) -> "Settings":
    """Read the settings; one of several has a name of its own."""
    settings = sources.load()
    require_channel(settings)
    if member is None:
        return settings
    ours: dict[str, object] = {"name": f"{settings.name}-{member}"}
    if settings.http_listen is not None:
        ours["http_listen"] = _address_of(settings.http_listen, member)
    return settings.model_copy(update=ours)


def _deliver(
    settings: "Settings",
    reread: "Callable[[], Settings]",
    member: int | None,
    wants_migration: bool,
) -> int:
    import anyio

    from chimewayd import systemd

    notifier = systemd.to_manager() if member is None else _join_parent(settings)
    watchdog = systemd.watchdog_seconds()
    serving = partial(_serve, settings, reread, notifier, watchdog, wants_migration)
    anyio.run(serving, backend_options={"use_uvloop": True})
    return 0


def _supervise(
    sources: Sources, settings: "Settings", processes: int, wants_migration: bool
) -> int:
    """Run several daemons as children of this process; return the exit status."""
    import anyio

    from chimewayd import systemd
    from chimewayd.processes import supervise

    names = _member_names(settings.name, processes)
    if settings.http_listen is not None:
        _address_of(settings.http_listen, processes)  # there must be one for the last
    if wants_migration:
        anyio.run(_migrate, settings)
    commands = {name: _member_command(sources, n) for n, name in enumerate(names, 1)}
    return anyio.run(
        supervise,
        commands,
        _tell,
        systemd.to_manager(),
        systemd.watchdog_seconds(),
    )


def _tell(said: str) -> None:
    with suppress(OSError):  # nobody reads it any more: no reason to end the daemons
        click.echo(f"chimewayd: {said}", err=True)


def _member_names(name: str, processes: int) -> list[str]:
    from chimewayd.errors import ConfigError

    names = [f"{name}-{n}" for n in range(1, processes + 1)]
    if len(names[-1]) > LONGEST_NAME:
        longest = LONGEST_NAME - len(names[-1]) + len(name)
        raise ConfigError(
            "name",
            f"{names[-1]} is longer than {LONGEST_NAME} characters",
            f"at most {longest} characters with --processes {processes}",
        )
    return names


def _member_command(sources: Sources, member: int) -> Sequence[str]:
    # -P: what lies in the working directory is not ours to import.
    options = [
        f"--{name}={value}"
        for name, value in (("config", sources.config), ("dsn", sources.dsn))
        if value is not None
    ]
    python = (sys.executable, "-P", "-m", "chimewayd")
    return (*python, *options, "run", f"--member={member}")


def _join_parent(settings: "Settings") -> "Notifier":
    """Never outlive the parent, and speak to it alone."""
    from chimewayd import systemd
    from chimewayd.processes import stop_with_parent

    patience = settings.shutdown_grace.total_seconds() + LAST_SECONDS
    stop_with_parent(sys.stdin.fileno(), patience)
    return systemd.to_parent(sys.stdin.fileno())


def _address_of(address: "HttpAddress", member: int) -> "HttpAddress":
    from chimewayd.errors import ConfigError
    from chimewayd.http_address import of_member

    try:
        return of_member(address, member)
    except ValueError as error:
        raise ConfigError("http_listen", f"{address} {error}", "a lower port") from None


async def _serve(
    settings: "Settings",
    reread: "Callable[[], Settings]",
    notifier: "Notifier",
    watchdog_seconds: float | None,
    wants_migration: bool,
) -> None:
    from chimewayd import daemon

    if wants_migration:
        await _migrate(settings)
    abandoned = 0
    try:
        abandoned = await daemon.serve(settings, reread, notifier, watchdog_seconds)
    finally:
        # The event loop, and with it the process, would not end before such a task does.
        if abandoned or await _is_kept_up():
            _end_now(1)
    Thread(target=_end_soon, name="end_soon", daemon=True).start()


def _end_soon() -> None:
    """End what has stopped: event loop and Python would wait for look-ups that nobody answers."""
    time.sleep(LOOK_UP_SECONDS)
    _end_now(0)


def _end_now(status: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # nobody reads it any more
            stream.flush()
    os._exit(status)


async def _is_kept_up() -> bool:
    """Cancel what still runs; tell whether some of it will not end: a call that was cut in vain."""
    import asyncio

    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        if not task.cancelling():  # who cleans up is not disturbed
            task.cancel()
    return bool(others and (await asyncio.wait(others, timeout=CUT_SECONDS))[1])


async def _migrate(settings: "Settings") -> None:
    import structlog

    from chimewayd import migrate
    from chimewayd.log import Event

    async with database(settings) as connection:
        for name in await migrate.apply(connection):
            structlog.get_logger().info(Event.MIGRATION_APPLIED, migration=name)
