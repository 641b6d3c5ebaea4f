"""`chimewayd migrate`: bring the database to this release, or say what that would take."""
# ruff: noqa: D301, PLC0415 - click wants a real \b; imports inside the command keep --help quick

import sys
from typing import TYPE_CHECKING

import click

from chimewayd.cli.output import emit, emit_json, json_option
from chimewayd.cli.session import Sources, pass_sources, perform, source_options

if TYPE_CHECKING:
    import asyncpg


@click.command("migrate")
@click.option(
    "--check", is_flag=True, help="Change nothing; exit status 1 and a list if something is left."
)
@click.option("--sql", is_flag=True, help="Print all of it as SQL for another tool, and end.")
@json_option
@source_options
@pass_sources
def command(sources: Sources, *, check: bool, sql: bool, as_json: bool) -> None:
    """Bring the database's chimeway schema to this release.

    Everything is applied in one transaction, or nothing. To run it again does no harm; two at
    once wait for each other.

    \b
    Examples:
      chimewayd --dsn postgresql://localhost/app migrate
      chimewayd migrate --check || echo "not up to date"
      chimewayd migrate --sql > chimeway.sql
    """
    from chimewayd import migrate as schema

    if sql:
        if check or as_json:
            raise click.UsageError("--sql goes alone: it prints SQL and asks no database")
        emit(schema.render().rstrip("\n"))
        return

    async def pending(connection: "asyncpg.Connection") -> list[str]:
        return [script.name for script in schema.pending(await schema.applied(connection))]

    names = perform(pending if check else schema.apply, sources)
    word = "pending" if check else "applied"
    if as_json:
        emit_json({word: names})
    else:
        emit("\n".join(f"{word}: {name}" for name in names) or "up to date")
    if check and names:
        sys.exit(1)
