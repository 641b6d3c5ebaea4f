"""`chimewayd status`: what waits on each channel, and whether somebody serves it."""
# ruff: noqa: D301, PLC0415 - click wants a real \b; imports inside functions keep --help quick

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from chimewayd.cli.output import emit, emit_json, emit_json_line, json_option, paint, table
from chimewayd.cli.session import Sources, pass_sources, perform, source_options
from chimewayd.cli.watching import watch

if TYPE_CHECKING:
    import asyncpg

    from chimewayd.errors import ChimewaydError

COUNTED_UP_TO = 100_000
"""Default of chimeway.stats(count_up_to)."""

ENDS = ("succeeded", "suppressed", "cancelled")
COLUMNS = (
    *("channel", "adapter", "served by", "due", "scheduled", "held", "in flight", "oldest due"),
    *ENDS,
)
NUMBERS = frozenset({*COLUMNS, "ended/s"}) - {"channel", "adapter"}


EVERY_SECONDS = 2.0
CLEAR = "\x1b[H\x1b[2J"


@click.command("status")
@click.option("--watch", "watches", is_flag=True, help="Show it again and again, until Ctrl-C.")
@click.option(
    "--every",
    metavar="SECONDS",
    type=click.FloatRange(0.2, 3600),
    default=EVERY_SECONDS,
    show_default=True,
    help="How often, with --watch.",
)
@json_option
@source_options
@pass_sources
def command(sources: Sources, *, watches: bool, every: float, as_json: bool) -> None:
    """Show what waits on each channel, and whether somebody serves it.

    One line a channel, with what is in flight and how many ended how. A channel whose note
    begins with `!` needs somebody: nobody serves it, it is paused, or it stopped itself because its
    provider failed. Queues are counted up to
    100,000 rows. The same rows in SQL: select * from chimeway.stats().

    With --watch there is a column more: how many ended a second. It goes on when the database is
    away, and with --json prints a document a line.

    \b
    Examples:
      chimewayd status
      chimewayd status --watch --every 5
      chimewayd status --json | jq '.channels[] | select(.served_by == 0 and .due > 0)'
    """
    from chimewayd import db_commands

    if watches:
        import anyio

        watcher = Watcher(as_json=as_json)
        anyio.run(partial(watch, sources, every, watcher.look, watcher.lost))
    rows = perform(db_commands.stats, sources)
    if as_json:
        emit_json({"channels": [_document(row) for row in rows]})
    else:
        emit(picture(rows))


class Watcher:
    """Shows one look after the other: in place on a terminal, else one below the other."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._ended: dict[str, int] = {}
        self._looked_at = 0.0

    async def look(self, connection: "asyncpg.Connection") -> None:
        """Ask and show."""
        import anyio

        from chimewayd import db_commands

        rows = await db_commands.stats(connection)
        now = anyio.current_time()
        ended = {row["channel"]: sum(row[name] for name in ENDS) for row in rows}
        rates = {
            channel: (count - self._ended[channel]) / (now - self._looked_at)
            for channel, count in ended.items()
            if channel in self._ended
        }
        self._ended, self._looked_at = ended, now
        if self._as_json:
            documents = [
                _document(row) | {"ended_per_second": rates.get(row["channel"])} for row in rows
            ]
            emit_json_line({"channels": documents})
        else:
            self._show(picture(rows, rates))

    def lost(self, error: "ChimewaydError") -> None:
        """Say that the database is away."""
        if self._as_json:
            click.echo(f"chimewayd: {error}", err=True)
        else:
            self._show(paint(str(error), "red"))

    def _show(self, text: str) -> None:
        at = datetime.now(UTC).strftime("%H:%M:%S UTC")
        emit(f"{CLEAR if sys.stdout.isatty() else ''}{at}\n\n{text}\n")


def _document(row: Mapping[str, Any]) -> dict[str, Any]:
    """Put a row into JSON's terms: a length of time becomes seconds."""
    age = row["oldest_due_age"]
    rest = {name: value for name, value in row.items() if name != "oldest_due_age"}
    return rest | {"oldest_due_age_seconds": None if age is None else age.total_seconds()}


def picture(rows: list[dict[str, Any]], rates: Mapping[str, float] | None = None) -> str:
    """Draw one line a channel, with how many ended a second if that is known."""
    if not rows:
        return "no channel yet: no daemon has configured one, and nothing was inserted"
    notes = [_note(row) for row in rows]
    cells = [(*_cells(row, rates), note) for row, note in zip(rows, notes, strict=True)]
    columns = (*COLUMNS, *([] if rates is None else ["ended/s"]), "note")
    header, *lines = table(columns, cells, NUMBERS)
    coloured = [
        paint(line, "red" if note.startswith("!") else None)
        for line, note in zip(lines, notes, strict=True)
    ]
    return "\n".join([paint(header, bold=True), *coloured])


def _cells(row: Mapping[str, Any], rates: Mapping[str, float] | None) -> tuple[str, ...]:
    from chimewayd.cli.timeline import brief

    age = row["oldest_due_age"]
    waiting = [_count(row[name], COUNTED_UP_TO) for name in ("due", "scheduled", "held")]
    ended = [str(row[name]) for name in ENDS]
    rate = None if rates is None else rates.get(row["channel"])
    return (
        *(row["channel"], row["adapter"] or "-", str(row["served_by"])),
        *(*waiting, str(row["in_flight"]), "-" if age is None else brief(age)),
        *(*ended, *([] if rates is None else ["-" if rate is None else f"{rate:.1f}"])),
    )


def _count(count: int, limit: int) -> str:
    return f"{count}+" if count >= limit else str(count)


def _note(row: Mapping[str, Any]) -> str:
    # What is in flight of a daemon that is gone waits for another one, too.
    waiting = row["due"] + row["scheduled"] + row["held"] + row["in_flight"]
    if not row["served_by"] and waiting:
        never = "" if row["adapter"] else ", and nobody ever did: is the name right?"
        return f"! nobody serves it{never}"
    if row["paused_at"]:
        from chimewayd.cli.timeline import moment

        return f"! paused since {moment(row['paused_at'])}: {row['pause_reason']}"
    if row["limited_by"]:
        breaks = row["limited_by"].startswith("breaker")
        return f"{'! ' if breaks else ''}{row['limited_by']}: {row['limited_why']}"
    return "" if row["served_by"] else "not served now"
