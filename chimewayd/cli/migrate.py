"""`chimewayd migrate`: bring the database to this release, or say what that would take."""
# ruff: noqa: D301, PLC0415 - click wants a real \b; imports inside the command keep --help quick

import sys
from typing import TYPE_CHECKING

import click

from chimewayd.cli.output import emit, emit_json, json_option
from chimewayd.cli.session import Sources, pass_sources, perform, source_options

if TYPE_CHECKING:
    import asyncpg

MISSING = (
    "note: this role may not create roles, and these are missing: {}. Until somebody creates "
    "them (create role NAME nologin) and chimewayd migrate runs again, only the owner has rights."
)

OWNED = (
    "note: the schema belongs to {0}, so its functions may do whatever {0} may. To make it "
    "chimeway_owner's: grant chimeway_owner to {0}, and run chimewayd migrate again."
)


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
    once wait for each other. On a terminal it says which migration it is at, and how far Postgres
    is with an index.

    It makes the roles chimeway_owner, chimeway_daemon, chimeway_producer, chimeway_operator and
    chimeway_reader, if it may, and grants each of them what it needs: `grant chimeway_producer to
    app` is all that a program needs to insert.

    \b
    Examples:
      chimewayd --dsn postgresql://localhost/app migrate
      chimewayd migrate --check || echo "not up to date"
      chimewayd migrate --sql > chimeway.sql
    """
    from chimewayd import migrate as schema
    from chimewayd import rights
    from chimewayd.cli.migrating import watched

    if sql:
        if check or as_json:
            raise click.UsageError("--sql goes alone: it prints SQL and asks no database")
        emit(schema.render().rstrip("\n"))
        return

    async def ask(connection: "asyncpg.Connection") -> tuple[list[str], list[str], str | None]:
        if check:
            names = await schema.unfinished(connection)
        else:
            async with watched(sources, hidden=as_json) as begin:
                names = await schema.apply(connection, begin)
        owner, _ = await rights.owner(connection)
        return names, await rights.missing_roles(connection), owner

    names, missing, owner = perform(ask, sources)
    word = "pending" if check else "applied"
    if as_json:
        emit_json({word: names, "missing_roles": missing})
    else:
        emit("\n".join(f"{word}: {name}" for name in names) or "up to date")
    if missing and not (as_json or (check and names)):
        click.echo(MISSING.format(", ".join(missing)), err=True)
    elif not (missing or as_json or check) and owner != rights.OWNER_ROLE:
        click.echo(OWNED.format(owner), err=True)
    if check and names:
        sys.exit(1)
