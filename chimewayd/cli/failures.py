"""`chimewayd failures`: what goes wrong, grouped, with the newest example of each."""
# ruff: noqa: D301, PLC0415 - click wants a real \b; imports inside functions keep --help quick

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from chimewayd.cli import selection
from chimewayd.cli.output import emit, emit_json, json_option, paint, table
from chimewayd.cli.session import Sources, pass_sources, perform, source_options

if TYPE_CHECKING:
    import asyncpg

GROUPS = 20
COLUMNS = (
    *("channel", "error", "code", "calls", "deliveries", "given up", "newest", "example"),
    "what it said",
)
NUMBERS = frozenset({"code", "calls", "deliveries", "given up", "newest"})
SAID_CELLS = 100


@click.command("failures")
@click.option(
    "--since",
    metavar="TIME",
    default="1h",
    show_default=True,
    callback=selection.since,
    help="Calls that ended since 2030-01-31T09:00Z, or within the last 2h.",
)
@click.option("--channel", metavar="NAME", callback=selection.text, help="Those of a channel.")
@click.option("--tenant", metavar="T", callback=selection.text, help="Those of a tenant.")
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(1, 1000),
    default=GROUPS,
    show_default=True,
    help="So many groups at most, the largest.",
)
@json_option
@source_options
@pass_sources
def command(
    sources: Sources,
    /,
    *,
    since: datetime | timedelta,
    channel: str | None,
    tenant: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """Show what goes wrong: calls that did not succeed, by channel and error.

    What differs only in its numbers is one group. "Given up" counts deliveries that ended unsent
    meanwhile; the others are retried or were sent. The example is the newest one: ask explain
    about it.

    \b
    Examples:
      chimewayd failures
      chimewayd failures --channel orders --since 24h
      chimewayd failures --json | jq -r '.failures[] | [.channel, .status_code, .calls] | @tsv'
    """
    from chimewayd import db_commands
    from chimewayd.session import allow_long_statements

    async def ask(connection: "asyncpg.Connection") -> list[dict[str, Any]]:
        await allow_long_statements(connection)
        moment = await db_commands.now(connection)
        begin = moment - since if isinstance(since, timedelta) else since
        return await db_commands.group_failures(connection, begin, limit, channel, tenant)

    rows = perform(ask, sources)
    if as_json:
        emit_json({"failures": rows})
    elif rows:
        emit(picture(rows, datetime.now(UTC)))
    else:
        emit("no attempt failed in this time; what stopped a channel: chimewayd status")


def picture(rows: Sequence[Mapping[str, Any]], now: datetime) -> str:
    """Draw one line a group."""
    header, *lines = table(COLUMNS, [_cells(row, now) for row in rows], NUMBERS)
    return "\n".join([paint(header, bold=True), *lines])


def _cells(row: Mapping[str, Any], now: datetime) -> tuple[str, ...]:
    from chimewayd.cli.timeline import brief

    said = row["newest_detail"] or ""
    # "lost" says more than its class: nobody answered because the daemon was gone.
    error = row["outcome"] if row["outcome"] == "lost" else row["error_class"]
    return (
        *(row["channel"], error, "-" if row["status_code"] is None else str(row["status_code"])),
        *(str(row[name]) for name in ("calls", "deliveries", "given_up")),
        f"{brief(max(now - row['newest_at'], timedelta()))} ago",
        *(str(row["newest_delivery_id"]), said[:SAID_CELLS] + "…" * (len(said) > SAID_CELLS)),
    )
