"""`chimewayd demo`: all of it on this machine, with nothing to set up."""
# ruff: noqa: D301, PLC0415 - click wants a real \b; imports inside the command keep --help quick

import sys

import click

from chimewayd.cli.explain import picture
from chimewayd.cli.output import emit, paint, printable


@click.command("demo")
@click.option("--keep", is_flag=True, help="Stay up for your own inserts, until Ctrl-C.")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help="With --keep: Postgres's port on 127.0.0.1; else a free one.",
)
def command(*, keep: bool, port: int | None) -> None:
    """Show deliveries going out, with nothing to set up.

    Starts a throw-away Postgres, the daemon and a webhook receiver on this machine, inserts
    sample deliveries with SQL, and shows what becomes of each. Nothing is left behind.

    \b
    Examples:
      chimewayd demo
      chimewayd demo --keep      stays up, and prints lines to paste for your own inserts
    """
    from chimewayd import demo
    from chimewayd.embedded import EmbeddedError
    from chimewayd.errors import DatabaseUnavailable

    if port is not None and not keep:
        raise click.UsageError("--port goes with --keep")
    screen = demo.Screen(
        say=emit,
        title=lambda text: emit(f"\n{paint(text, bold=True)}\n"),
        whisper=lambda text: emit(paint(printable(text), dim=True)),
        picture=picture,
    )
    try:
        exit_code = demo.show(screen, keep=keep, port=port)
    except EmbeddedError as error:
        raise DatabaseUnavailable(str(error)) from error
    sys.exit(exit_code)
