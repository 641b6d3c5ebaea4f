"""The operator's commands: each is one SQL function, with an actor who is named in the history."""
# ruff: noqa: PLC0415 - imports inside functions keep --help quick

import getpass
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from chimewayd.cli.output import emit, emit_json, json_option
from chimewayd.cli.session import Sources, pass_sources, perform, source_options

if TYPE_CHECKING:
    import asyncpg


@dataclass(frozen=True, slots=True)
class Operation:
    """One command: what it is called, which statement of `db` it runs, on what."""

    name: str
    statement: str
    help: str
    needs_reason: bool = False
    is_on_channel: bool = False


OPERATIONS = (
    Operation(
        "cancel",
        "CANCEL",
        "Cancel a delivery. During a call, its outcome is recorded and no retry follows.",
        needs_reason=True,
    ),
    Operation("suppress", "SUPPRESS", "End a delivery as suppressed by policy.", needs_reason=True),
    Operation("replay", "REPLAY", "Begin a new series of attempts of a delivery that ended."),
    Operation("hold", "HOLD", "Keep a waiting delivery from being sent.", needs_reason=True),
    Operation("release", "RELEASE", "Let a held delivery be sent again."),
    Operation(
        "pause",
        "PAUSE_CHANNEL",
        "Send nothing more on a channel; calls in flight end.",
        needs_reason=True,
        is_on_channel=True,
    ),
    Operation("resume", "RESUME_CHANNEL", "Send again on a paused channel.", is_on_channel=True),
)


def _actor() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in some containers
        raise click.UsageError("this account has no name: say who you are with --actor") from None


def _command(operation: Operation) -> click.Command:
    target = click.argument(
        "target",
        metavar="CHANNEL" if operation.is_on_channel else "ID",
        type=str if operation.is_on_channel else click.UUID,
    )

    @click.command(operation.name, help=operation.help)
    @target
    @click.option("--actor", metavar="WHO", help="Who does it; else your account's name.")
    @json_option
    @source_options
    @pass_sources
    def command(
        sources: Sources,
        *,
        target: UUID | str,
        actor: str | None,
        as_json: bool,
        reason: str | None = None,
    ) -> None:
        reasons = (reason,) if operation.needs_reason else ()
        arguments = (target, *reasons, actor or _actor())
        _perform(sources, operation.statement, arguments, as_json=as_json)

    if operation.needs_reason:
        reason = click.Option(
            ["--reason"], metavar="WHY", required=True, help="Why; it is kept in the history."
        )
        command.params.insert(1, reason)
    return command


commands = tuple(_command(operation) for operation in OPERATIONS)


def _perform(
    sources: Sources, statement: str, arguments: tuple[object, ...], *, as_json: bool
) -> None:
    from chimewayd import db

    async def ask(connection: "asyncpg.Connection") -> dict[str, Any]:
        return await db.operate(connection, getattr(db, statement), *arguments)

    row = perform(ask, sources)
    if as_json:
        emit_json(row)
    else:
        emit(row["message"])
