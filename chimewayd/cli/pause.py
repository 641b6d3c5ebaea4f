"""`chimewayd pause` and `resume`: whether anything is sent on a channel."""
# ruff: noqa: D301, PLC0415 - click wants a real \b; imports inside functions keep --help quick

from typing import TYPE_CHECKING, Any

import click

from chimewayd.cli.actor import actor_option, reason_option
from chimewayd.cli.output import emit, emit_json, json_option, printable
from chimewayd.cli.selection import text
from chimewayd.cli.session import Sources, pass_sources, perform, source_options

if TYPE_CHECKING:
    import asyncpg


@click.command("pause")
@click.argument("channel", callback=text)
@reason_option
@actor_option
@json_option
@source_options
@pass_sources
def pause(sources: Sources, /, *, channel: str, reason: str, actor: str, as_json: bool) -> None:
    """Send nothing more on a channel; calls in flight end.

    \b
    Examples:
      chimewayd pause orders --reason "receiver is being moved"
    """
    from chimewayd.db_commands import PAUSE_CHANNEL

    _operate(sources, PAUSE_CHANNEL, channel, reason, actor, as_json=as_json)


@click.command("resume")
@click.argument("channel", callback=text)
@actor_option
@json_option
@source_options
@pass_sources
def resume(sources: Sources, /, *, channel: str, actor: str, as_json: bool) -> None:
    """Send again on a paused channel.

    \b
    Examples:
      chimewayd resume orders
    """
    from chimewayd.db_commands import RESUME_CHANNEL

    _operate(sources, RESUME_CHANNEL, channel, actor, as_json=as_json)


def _operate(sources: Sources, statement: str, *arguments: str, as_json: bool) -> None:
    from chimewayd import db_commands

    async def ask(connection: "asyncpg.Connection") -> dict[str, Any]:
        return await db_commands.operate_channel(connection, statement, *arguments)

    row = perform(ask, sources)
    if as_json:
        emit_json(row)
    else:
        emit(printable(row["message"]))
