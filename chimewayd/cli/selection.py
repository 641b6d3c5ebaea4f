"""Which deliveries a command is about: some, by id, or all that pass its filters.

ID …                 these; with --tenant T those of them that are T's
--channel C …        each that passes every filter given
neither, or both     wrong usage: "all deliveries there are" is never meant by saying nothing
"""
# ruff: noqa: PLC0415 - imports inside functions keep --help quick

from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import click

from chimewayd.models import Status

if TYPE_CHECKING:
    import asyncpg

    from chimewayd.db_commands import Selection

Command = TypeVar("Command", bound=Callable[..., Any])

SINCE = "a time as in 2030-01-31T09:00Z, or a duration as in 2h"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What the command line says about the deliveries meant; None: any."""

    channel: str | None
    status: str | None
    with_reason: str | None
    since: datetime | timedelta | None
    recipient: str | None
    tenant: str | None

    def is_empty(self) -> bool:
        """Whether no filter was given; an empty text is one, and matches nothing."""
        return all(value is None for value in astuple(self))


def text(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """Refuse what Postgres could not store as text."""
    try:
        (value or "").encode()
    except UnicodeEncodeError:
        raise click.BadParameter("is not UTF-8 text") from None
    return value


def since(_: click.Context, __: click.Parameter, value: str | None) -> datetime | timedelta | None:
    """Read a moment, or how long ago it was."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return _duration(value)
    if moment.tzinfo is None:
        raise click.BadParameter("must say its offset from UTC: end the time with Z or +02:00")
    return moment


def _duration(value: str) -> timedelta:
    from chimewayd import durations

    try:
        duration = durations.parse(value)
    except ValueError:
        raise click.BadParameter(f"must be {SINCE}") from None
    try:
        datetime.now(UTC) - duration
    except OverflowError:
        raise click.BadParameter("reaches back to before the year 1") from None
    return duration


def filter_options(command: Command) -> Command:
    """Add the filters as options; all of them are keyword arguments of `Filters`."""
    options = (
        click.option("--channel", metavar="NAME", callback=text, help="Those of a channel."),
        click.option(
            "--status", type=click.Choice(list(map(str, Status))), help="Those in a state."
        ),
        click.option(
            "--with-reason",
            metavar="REASON",
            callback=text,
            help="Those that ended for this reason: retries_exhausted, …, an operator's words.",
        ),
        click.option(
            "--since",
            metavar="TIME",
            callback=since,
            help="Those inserted since 2030-01-31T09:00Z, or within the last 2h.",
        ),
        click.option("--recipient", metavar="WHERE", callback=text, help="Those to a recipient."),
        click.option(
            "--tenant",
            metavar="T",
            callback=text,
            help="Those of a tenant; with an ID: nobody else's.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def check(ids: tuple[UUID, ...], filters: Filters) -> None:
    """Refuse a command line that does not say which deliveries it means, or says it twice."""
    others = replace(filters, tenant=None)
    if ids and not others.is_empty():
        raise click.UsageError("give either IDs or filters; beside IDs only --tenant makes sense")
    if not ids and filters.is_empty():
        raise click.UsageError(
            "say which deliveries: an ID or several, or at least one filter (--channel, --status, "
            "--with-reason, --since, --recipient, --tenant)"
        )


async def resolve(connection: "asyncpg.Connection", filters: Filters) -> "Selection":
    """Fix a selection at this moment, by the database's clock."""
    from chimewayd.db_commands import Selection, now

    moment = await now(connection)
    since = filters.since
    return Selection(
        channel=filters.channel,
        status=filters.status,
        reason=filters.with_reason,
        since=moment - since if isinstance(since, timedelta) else since,
        recipient=filters.recipient,
        tenant_id=filters.tenant,
        until=moment,
    )
