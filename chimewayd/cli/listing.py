"""`chimewayd list`: which deliveries there are, newest first, page by page."""
# ruff: noqa: D301, PLC0415 - click wants a real \b; imports inside functions keep --help quick

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from chimewayd.cli import selection
from chimewayd.cli.output import emit, emit_json, json_option, paint, table
from chimewayd.cli.recipient import shown
from chimewayd.cli.session import Sources, pass_sources, perform, source_options
from chimewayd.cli.tally import NOTHING_MATCHED

if TYPE_CHECKING:
    import asyncpg

PAGE = 50
LARGEST_PAGE = 10_000
COLUMNS = ("id", "inserted", "channel", "recipient", "status", "attempts", "what else")
RECIPIENT_CELLS = 40
_COLOURS = {"succeeded": "green", "failed": "yellow", "cancelled": "red", "suppressed": "red"}


@click.command("list")
@selection.filter_options
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(1, LARGEST_PAGE),
    default=PAGE,
    show_default=True,
    help="At most so many: one page.",
)
@click.option(
    "--before", metavar="ID", type=click.UUID, help="The next page: what is older than this one."
)
@json_option
@source_options
@pass_sources
def command(
    sources: Sources, /, *, limit: int, before: UUID | None, as_json: bool, **filters: Any
) -> int:
    """List deliveries that pass all filters, newest first.

    Without a filter: all of them. One page is printed, and how to get the next. A filter that
    little passes reads far back: --since bounds what is printed, not what is read. Exit status 3:
    nothing matched.

    \b
    Examples:
      chimewayd list --channel orders --status failed
      chimewayd list --recipient ada@example.org --since 7d
      chimewayd list --with-reason bounced --json | jq -r '.deliveries[].recipient'
    """
    from chimewayd import db_commands
    from chimewayd.session import allow_long_statements

    async def ask(connection: "asyncpg.Connection") -> list[dict[str, Any]]:
        await allow_long_statements(connection)
        selected = await selection.resolve(connection, selection.Filters(**filters))
        return await db_commands.list_deliveries(connection, before, limit + 1, selected)

    rows = perform(ask, sources)
    page = rows[:limit]
    following = page[-1]["id"] if len(rows) > limit else None
    if as_json:
        emit_json({"deliveries": page, "before": following})
    elif page:
        emit(picture(page))
        if following is not None:
            click.echo(f"more: the same command with --before {following}", err=True)
    if not page:
        click.echo("chimewayd: nothing matched", err=True)
        return NOTHING_MATCHED
    return 0


def picture(rows: Sequence[Mapping[str, Any]]) -> str:
    """Draw one line a delivery."""
    header, *lines = table(COLUMNS, [_cells(row) for row in rows], frozenset({"attempts"}))
    coloured = [
        paint(line, _COLOURS.get(row["status"])) for line, row in zip(lines, rows, strict=True)
    ]
    return "\n".join([paint(header, bold=True), *coloured])


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    from chimewayd.cli.timeline import moment

    recipient = shown(row["recipient"])
    if len(recipient) > RECIPIENT_CELLS:
        recipient = recipient[: RECIPIENT_CELLS - 1] + "…"
    return (
        *(str(row["id"]), moment(row["inserted_at"]), row["channel"], recipient, row["status"]),
        *(str(row["attempt_count"]), _remark(row)),
    )


def _remark(row: Mapping[str, Any]) -> str:
    from chimewayd.cli.timeline import moment

    if row["suppression_reason"]:
        return str(row["suppression_reason"])
    if row["status"] == "failed" and row["next_attempt_at"]:
        return f"due again {moment(row['next_attempt_at'])}"
    return ""
