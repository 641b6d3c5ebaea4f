"""The command line: one module a command, one place where an error becomes an exit status.

    main ──▶ click ──▶ command ──▶ database session ──▶ a SQL function
      ▲                                                       │
      └── `chimewayd: what was wrong`, exit status ◀── error ─┘

Command modules import at their top only what `--help` needs; the rest when they are run.
"""
# ruff: noqa: D301 - click wants a real \b

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

import click

from chimewayd import __version__
from chimewayd.cli import (
    completion,
    config,
    demo,
    doctor,
    explain,
    failures,
    listing,
    migrate,
    operate,
    preview,
    prune,
    run,
    send,
    status,
    tail,
)
from chimewayd.cli.failure import describe
from chimewayd.cli.output import drop
from chimewayd.cli.session import source_options

INTERRUPTED = 128 + signal.SIGINT
HELP_WIDTH = 100


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": HELP_WIDTH}
)
@click.version_option(__version__, prog_name="chimewayd", message="%(prog)s %(version)s")
@source_options
def chimewayd() -> None:
    """Deliver the notifications that any program inserts into Postgres.

    A row in chimeway.deliveries is a message to send; the daemon sends it, tries again when that
    fails, and keeps the history of every attempt.

    \b
    First steps:
      chimewayd demo                         see all of it, nothing to set up
      chimewayd --dsn DSN migrate            prepare a database
      chimewayd --config FILE run            deliver what is inserted
      chimewayd send CHANNEL RECIPIENT …     insert a delivery
      chimewayd explain ID                   what happened to it, why, and what comes next
      chimewayd status                       what waits, and whether somebody serves it

    \b
    In a bad night:
      chimewayd status --watch               what waits where, and how quickly it gets less
      chimewayd failures                     what goes wrong, by channel and error
      chimewayd tail --failed                calls that fail, as they do
      chimewayd list --status failed         which deliveries
      chimewayd pause CHANNEL --reason WHY   send nothing more there
      chimewayd doctor                       what is wrong with the set-up

    \b
    Settings, the strongest first: options, CHIMEWAYD_* variables (CHIMEWAYD_DSN),
    $CREDENTIALS_DIRECTORY, the configuration file. PGHOST, PGSERVICE and the like
    complete the DSN.

    \b
    Exit status:
      0   done
      1   failed, or refused
      2   wrong usage
      3   nothing matched: no such delivery or channel
      69  the database is unreachable
      75  not now: a lock is held, or the schema is another release's and wants migrate
      78  a setting is wrong
    """


for command in (
    *(run.command, migrate.command, demo.command),
    *(send.command, preview.command, explain.command, status.command, tail.command),
    *(failures.command, listing.command, *operate.commands, doctor.command, config.command),
    *(prune.command, completion.command),
):
    chimewayd.add_command(command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and end the process with its exit status."""
    _open_missing_streams()
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character shows its number: no reason to fail.
        with suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # not on a TextIO
    if os.getpid() == 1:
        # In a container: the kernel ends process 1 by no signal that it has no handler for.
        signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))
    exit_code = _invoke(arguments)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            drop(stream)
    sys.exit(exit_code)


def _open_missing_streams() -> None:
    """Open those that were closed when we began, before another file gets their number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


def _invoke(arguments: Sequence[str] | None) -> int:
    try:
        result = chimewayd.main(arguments, prog_name="chimewayd", standalone_mode=False)
    except click.ClickException as error:
        with suppress(OSError):
            error.show()
        return error.exit_code
    except click.Abort:
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - what is not expected shows its traceback
        failure = describe(error)
        if failure is None:
            traceback.print_exception(error)
            return 1
        with suppress(OSError):  # nobody reads it: the exit status is right all the same
            click.echo("\n".join(failure.lines), err=True)
        return failure.exit_code
    return result if isinstance(result, int) else 0
