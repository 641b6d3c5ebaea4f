"""`chimewayd status`: what waits on each channel, and whether somebody serves it."""
# ruff: noqa: D301, PLC0415 - click wants a real \b; imports inside functions keep --help quick

from collections.abc import Mapping
from typing import Any

import click

from chimewayd.cli.output import emit, emit_json, json_option, paint, table
from chimewayd.cli.session import Sources, pass_sources, perform, source_options

COUNTED_UP_TO = 100_000
"""Default of chimeway.stats(count_up_to)."""

COLUMNS = (
    *("channel", "adapter", "served by", "due", "scheduled", "held", "in flight", "oldest due"),
    *("succeeded", "suppressed", "cancelled", "note"),
)
NUMBERS = frozenset(COLUMNS) - {"channel", "adapter", "note"}


@click.command("status")
@json_option
@source_options
@pass_sources
def command(sources: Sources, *, as_json: bool) -> None:
    """Show what waits on each channel, and whether somebody serves it.

    One line a channel, with what is in flight and how many ended how. A channel whose note
    begins with `!` needs somebody: nobody serves it, or it is paused. Queues are counted up to
    100,000 rows. The same rows in SQL: select * from chimeway.stats().

    \b
    Examples:
      chimewayd status
      chimewayd status --json | jq '.channels[] | select(.served_by == 0 and .due > 0)'
    """
    from chimewayd import db_commands

    rows = perform(db_commands.stats, sources)
    if as_json:
        emit_json({"channels": [_document(row) for row in rows]})
    elif rows:
        emit(_picture(rows))
    else:
        emit("no channel yet: no daemon has configured one, and nothing was inserted")


def _document(row: Mapping[str, Any]) -> dict[str, Any]:
    """Put a row into JSON's terms: a length of time becomes seconds."""
    age = row["oldest_due_age"]
    rest = {name: value for name, value in row.items() if name != "oldest_due_age"}
    return rest | {"oldest_due_age_seconds": None if age is None else age.total_seconds()}


def _picture(rows: list[dict[str, Any]]) -> str:
    notes = [_note(row) for row in rows]
    cells = [_cells(row, note) for row, note in zip(rows, notes, strict=True)]
    header, *lines = table(COLUMNS, cells, NUMBERS)
    coloured = [
        paint(line, "red" if note.startswith("!") else None)
        for line, note in zip(lines, notes, strict=True)
    ]
    return "\n".join([paint(header, bold=True), *coloured])


def _cells(row: Mapping[str, Any], note: str) -> tuple[str, ...]:
    from chimewayd.cli.timeline import brief

    age = row["oldest_due_age"]
    waiting = [_count(row[name], COUNTED_UP_TO) for name in ("due", "scheduled", "held")]
    ended = [str(row[name]) for name in ("succeeded", "suppressed", "cancelled")]
    return (
        *(row["channel"], row["adapter"] or "-", str(row["served_by"])),
        *(*waiting, str(row["in_flight"]), "-" if age is None else brief(age)),
        *(*ended, note),
    )


def _count(count: int, limit: int) -> str:
    return f"{count}+" if count >= limit else str(count)


def _note(row: Mapping[str, Any]) -> str:
    waiting = row["due"] + row["scheduled"] + row["held"]
    if not row["served_by"] and waiting:
        never = "" if row["adapter"] else ", and nobody ever did: is the name right?"
        return f"! nobody serves it{never}"
    if row["paused_at"]:
        from chimewayd.cli.timeline import moment

        return f"! paused since {moment(row['paused_at'])}: {row['pause_reason']}"
    return "" if row["served_by"] else "not served now"
