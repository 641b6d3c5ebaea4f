"""`chimewayd explain`: the timeline of a delivery."""
# ruff: noqa: D301, PLC0415 - click wants a real \b; imports inside functions keep --help quick

import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from chimewayd.cli.output import emit, emit_json, json_option
from chimewayd.cli.session import Sources, pass_sources, perform, source_options

if TYPE_CHECKING:
    import asyncpg

WIDTH_OF_A_FILE = 160


@click.command("explain")
@click.argument("delivery_id", metavar="ID", type=click.UUID)
@json_option
@source_options
@pass_sources
def command(sources: Sources, *, delivery_id: UUID, as_json: bool) -> None:
    """Tell what happened to a delivery, why, and what comes next.

    One line a step, with its time since the insert; times of day are in UTC. Full bars are
    calls, shaded bars are waits, all on one scale. The same rows in SQL: select * from
    chimeway.explain(ID).

    \b
    Examples:
      chimewayd explain 0199c2a4-7e11-7abc-9def-0123456789ab
      chimewayd explain "$id" --json | jq -r '.timeline[-1].what'
    """
    from chimewayd import db_commands

    async def ask(connection: "asyncpg.Connection") -> list[dict[str, Any]]:
        return await db_commands.explain(connection, delivery_id)

    rows = perform(ask, sources)
    if as_json:
        emit_json({"id": delivery_id, "timeline": decoded(rows)})
    else:
        emit(picture(delivery_id, rows))


def decoded(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows with their facts decoded."""
    import orjson

    return [row | {"facts": orjson.loads(row["facts"])} for row in rows]


def picture(delivery_id: UUID, rows: Sequence[dict[str, Any]]) -> str:
    """Draw the rows as wide as the terminal."""
    from chimewayd.cli.timeline import Step, draw

    steps = [
        Step(row["happened_at"], row["event"], row["what"], row["why"], row["facts"])
        for row in decoded(rows)
    ]
    width = shutil.get_terminal_size((WIDTH_OF_A_FILE, 0)).columns
    return draw(str(delivery_id), steps, width)
