"""`chimewayd prune`: lets go of what its channel does not keep any longer, now."""
# ruff: noqa: D301, PLC0415 - click wants a real \b; imports inside functions keep --help quick

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from chimewayd.cli.output import emit, emit_json, json_option
from chimewayd.cli.progress import progress
from chimewayd.cli.session import Sources, pass_sources, perform, source_options
from chimewayd.cli.tally import NOTHING_MATCHED

if TYPE_CHECKING:
    from uuid import UUID

    import asyncpg

STEP = 1000


@dataclass(slots=True)
class Pruned:
    """What a walk came to, right at any moment."""

    looked_at: int = 0
    redacted: int = 0
    deleted: int = 0


@click.command("prune")
@click.option("--dry-run", is_flag=True, help="Tell what would go; change nothing.")
@click.option("--at-once", is_flag=True, help="Work without a pause, as in a quiet hour.")
@json_option
@source_options
@pass_sources
def command(sources: Sources, /, *, dry_run: bool, at_once: bool, as_json: bool) -> int:
    """Redact and delete deliveries that their channels keep no longer.

    By the ages in the daemons' configuration, channels.NAME.retention: a running daemon does the
    same by itself. Nothing goes that has not ended. A step looks at a thousand deliveries and is a
    transaction; between two steps it rests for as long as the last one took. Exit status 3: no
    channel has an age.

    \b
    Examples:
      chimewayd prune --dry-run
      chimewayd prune --at-once --json
    """
    from chimewayd import db_commands

    ages = perform(db_commands.retention, sources)
    if as_json and not ages:
        emit_json(_document(Pruned(), ages, dry_run=dry_run))
    if not ages:
        click.echo(
            "chimewayd: no channel has an age: set channels.NAME.retention.delete_after or "
            "redact_after in the daemons' configuration, and start or reload them",
            err=True,
        )
        return NOTHING_MATCHED
    done = Pruned()
    _walk(sources, done, dry_run=dry_run, at_once=at_once)
    if as_json:
        emit_json(_document(done, ages, dry_run=dry_run))
    else:
        would = "would delete" if dry_run else "deleted"
        and_redact = "redact" if dry_run else "redacted"
        emit(f"{would} {done.deleted}, {and_redact} {done.redacted}, of {done.looked_at} looked at")
    return 0


def _walk(sources: Sources, done: Pruned, *, dry_run: bool, at_once: bool) -> None:
    from chimewayd import db_commands

    is_whole = False
    try:
        length = perform(db_commands.estimate_deliveries, sources)
        with progress("prune", max(length, 1)) as advance:

            async def walk(connection: "asyncpg.Connection") -> None:
                await _steps(connection, done, advance, dry_run=dry_run, at_once=at_once)

            perform(walk, sources)
        is_whole = True
    finally:
        if not is_whole and not dry_run and (done.deleted or done.redacted):
            click.echo(
                f"chimewayd: stopped after {done.deleted} deleted and {done.redacted} redacted; "
                "the same command does the rest",
                err=True,
            )


async def _steps(
    connection: "asyncpg.Connection",
    done: Pruned,
    advance: Callable[[int], None],
    *,
    dry_run: bool,
    at_once: bool,
) -> None:
    import anyio

    from chimewayd import db_commands
    from chimewayd.session import allow_long_statements

    await allow_long_statements(connection)
    after: UUID | None = None
    while True:
        began = anyio.current_time()
        step = await db_commands.prune(connection, after, STEP, is_dry_run=dry_run)
        done.looked_at += step.looked_at
        done.redacted += step.redacted
        done.deleted += step.deleted
        advance(step.looked_at)
        after = step.next_after
        if after is None:
            return
        if not at_once:
            await anyio.sleep(anyio.current_time() - began)


def _document(done: Pruned, ages: list[dict[str, Any]], *, dry_run: bool) -> dict[str, object]:
    return {
        "deleted": done.deleted,
        "redacted": done.redacted,
        "looked_at": done.looked_at,
        "dry_run": dry_run,
        "channels": [
            {
                "channel": row["channel"],
                **{
                    f"{name}_seconds": None if row[name] is None else row[name].total_seconds()
                    for name in ("redact_after", "delete_after")
                },
            }
            for row in ages
        ],
    }
