"""`chimewayd tail`: attempts as they end.

By asking for what ended lately, once a second, and not by notifications: a notification an attempt
would make every record wait for the server's one lock of notifying commits, for somebody who
watches. A look reads what is as young as the last one, and takes a tenth of the time at most.
"""
# ruff: noqa: D301, PLC0415 - click wants a real \b; imports inside functions keep --help quick

from collections import deque
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

import click

from chimewayd.cli import selection
from chimewayd.cli.output import emit, emit_json_line, json_option, paint, printable
from chimewayd.cli.recipient import shown
from chimewayd.cli.session import Sources, pass_sources, perform, source_options
from chimewayd.cli.watching import watch

if TYPE_CHECKING:
    import asyncpg

    from chimewayd.db_commands import Watched
    from chimewayd.errors import ChimewaydError

Row: TypeAlias = Mapping[str, Any]

LINES = 10
FIRST_LOOK = timedelta(minutes=15)
OVERLAP = timedelta(seconds=10)
"""A call may be recorded later than it ended; what is recorded later than this is not shown."""

ROWS_PER_LOOK = 1000
SEEN = 20 * ROWS_PER_LOOK
_COLOURS = {"succeeded": "green", "failed": "yellow"}


@click.command("tail")
@click.option("--channel", metavar="NAME", callback=selection.text, help="Those of a channel.")
@click.option("--failed", is_flag=True, help="Those that did not succeed.")
@click.option("--recipient", metavar="WHERE", callback=selection.text, help="Those to a recipient.")
@click.option("--tenant", metavar="T", callback=selection.text, help="Those of a tenant.")
@click.option(
    "--lines",
    metavar="N",
    type=click.IntRange(0, ROWS_PER_LOOK),
    default=LINES,
    show_default=True,
    help="Begin with so many of the last quarter of an hour.",
)
@click.option("--once", is_flag=True, help="Print those and end.")
@click.option(
    "--every",
    metavar="SECONDS",
    type=click.FloatRange(0.1, 60),
    default=1.0,
    show_default=True,
    help="How often to look.",
)
@json_option
@source_options
@pass_sources
def command(
    sources: Sources,
    /,
    *,
    channel: str | None,
    failed: bool,
    recipient: str | None,
    tenant: str | None,
    lines: int,
    once: bool,
    every: float,
    as_json: bool,
) -> None:
    """Show attempts as they end, until you press Ctrl-C.

    One line a call, with --json one document a line. It asks for what ended lately, so that it is
    no burden to the database, and shows a thousand calls a look at most.

    \b
    Examples:
      chimewayd tail --channel orders --failed
      chimewayd tail --json | jq -r 'select(.status_code == 429) | .recipient'
      chimewayd tail --once --lines 100
    """
    import anyio

    from chimewayd.db_commands import Watched

    watched = Watched(channel=channel, failed_only=failed, recipient=recipient, tenant_id=tenant)
    follower = Follower(watched, lines, as_json=as_json)
    if once:
        perform(follower.look, sources)
    else:
        anyio.run(partial(watch, sources, every, follower.look, follower.lost))


class Follower:
    """Prints each attempt once."""

    def __init__(self, watched: "Watched", lines: int, *, as_json: bool) -> None:
        self._watched = watched
        self._lines = lines
        self._as_json = as_json
        self._since: datetime | None = None
        self._seen: set[tuple[UUID, int]] = set()
        self._order: deque[tuple[UUID, int]] = deque()

    async def look(self, connection: "asyncpg.Connection") -> None:
        """Print what is new."""
        from chimewayd import db_commands

        now = await db_commands.now(connection)
        is_first = self._since is None
        since = self._since or now - FIRST_LOOK
        rows = await db_commands.recent_attempts(connection, since, ROWS_PER_LOOK, self._watched)
        new = [row for row in rows if self._note((row["delivery_id"], row["attempt_number"]))]
        if not is_first and len(new) == ROWS_PER_LOOK:
            click.echo(f"chimewayd: more than {ROWS_PER_LOOK} calls: some are not shown", err=True)
        for row in reversed(new[: self._lines] if is_first else new):
            self._print(row)
        self._since = now - OVERLAP

    def lost(self, error: "ChimewaydError") -> None:
        """Say that the database is away; what ends meanwhile is shown when it is back."""
        click.echo(f"chimewayd: {error}", err=True)

    def _note(self, attempt: tuple[UUID, int]) -> bool:
        if attempt in self._seen:
            return False
        self._seen.add(attempt)
        self._order.append(attempt)
        if len(self._order) > SEEN:
            self._seen.discard(self._order.popleft())
        return True

    def _print(self, row: Row) -> None:
        if self._as_json:
            emit_json_line(document(row))
        else:
            emit(paint(line(row), _COLOURS.get(row["outcome"], "red")))


def document(row: Row) -> dict[str, Any]:
    """Put an attempt into JSON's terms: a length of time becomes seconds."""
    rest = {name: value for name, value in row.items() if name != "duration"}
    took = row["duration"]
    return rest | {"duration_seconds": None if took is None else took.total_seconds()}


def line(row: Row) -> str:
    """Write an attempt as a line for people."""
    from chimewayd.cli.timeline import brief, moment

    took = "-" if row["duration"] is None else brief(row["duration"])
    error = row["error_class"]
    how = row["outcome"] if error in (None, row["outcome"]) else f"{row['outcome']}/{error}"
    again = ""
    if row["next_attempt_at"] is not None:
        again = f"; again in {brief(max(row['next_attempt_at'] - row['finished_at'], timedelta()))}"
    said = f"  {row['detail']}" if row["detail"] else ""
    return printable(
        f"{moment(row['finished_at'])}  {row['delivery_id']}  {row['channel']}  "
        f"attempt {row['attempt_number']}  {how}  {took}  {shown(row['recipient'])}{said}{again}"
    )
