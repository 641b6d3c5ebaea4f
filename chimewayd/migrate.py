"""Brings a database's chimeway schema to this release.

    sql/migrations/NNNN_name.sql   tables: each applied once, in order, never edited afterwards
    sql/functions/name.sql         state: all applied again whenever one of them changed
    rights                         granted to the roles that there are (rights.py), whenever they
                                   are not what chimeway.rights() says

Everything happens in one transaction under one lock; a second runner waits and finds nothing to
do. A function whose file is gone is dropped: the folder is the truth. A database that a newer
release migrated is left alone.
"""

import hashlib
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import NamedTuple

import anyio
import asyncpg

from chimewayd import __version__, rights
from chimewayd.errors import ChimewaydError, MigrationDrift, SchemaMismatch, TryAgain

LOCK = 0x6368696D65776179
"""Advisory lock of the migration: the bytes of "chimeway"."""

LOCK_RETRY_SECONDS = 0.2
LOCK_ATTEMPTS = 150

STATEMENT_SECONDS = 86_400
"""An index of a big table takes its time; what a deadline ends once, it ends at each new try."""

LOOK_FOR_US, LOOK_FOR_US_SECONDS = "client_connection_check_interval", 5
"""A server notices that we were killed when it answers: an index would be built to its end before,
with all its locks, for nobody.
"""

FUNCTIONS = "functions"
"""Ledger name under which the digest of sql/functions is kept."""

INSTALL_NEWER = "a newer release was here; install that release"

RIGHTS = "rights"
"""What is told of grants that were made; they have no line in the ledger: the catalog knows."""

SETTINGS = """
set local search_path = pg_catalog, pg_temp;
set local check_function_bodies = off;
"""
"""Nothing that others left in a schema of the migrating role's path is ever run as that role."""

LEDGER = """
create table if not exists chimeway.schema_migrations (
  name text primary key,
  checksum text not null,
  applied_at timestamptz not null default now(),
  applied_by text not null default session_user,
  release text not null
);
comment on table chimeway.schema_migrations is
  'What chimewayd migrate applied: one row a migration, and one for the functions.';
comment on column chimeway.schema_migrations.name is 'Migration file, or functions.';
comment on column chimeway.schema_migrations.checksum is 'Of the text that was applied.';
comment on column chimeway.schema_migrations.applied_at is 'When.';
comment on column chimeway.schema_migrations.applied_by is 'By which role.';
comment on column chimeway.schema_migrations.release is 'By which release of chimewayd.';
"""

DROP_ORPHANS = """
do $$
declare
  v_orphan regprocedure;
begin
  for v_orphan in
    select p.oid from pg_catalog.pg_proc as p
    where p.pronamespace = 'chimeway'::regnamespace
      and p.xmin::text <> (pg_catalog.pg_current_xact_id()::text::numeric % 4294967296)::text
  loop
    execute pg_catalog.format('drop function %s cascade', v_orphan);
  end loop;
end
$$
"""


class Step(NamedTuple):
    """Which migration of how many begins."""

    number: int
    total: int
    name: str


@dataclass(frozen=True, slots=True)
class Script:
    """One SQL file: its ledger name, text and checksum."""

    name: str
    sql: str
    checksum: str


def _sql_folder() -> Traversable:
    packaged = files("chimewayd") / "sql"
    # An editable install has no copy of sql/ inside the package: it stands beside it.
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "sql"


def _read(folder: Traversable, pattern: str) -> list[Script]:
    scripts = []
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if re.fullmatch(pattern, file.name):
            sql = file.read_text("utf-8").replace("\r\n", "\n")
            checksum = hashlib.sha256(sql.encode()).hexdigest()[:16]
            scripts.append(Script(file.name.removesuffix(".sql"), sql, checksum))
    return scripts


@cache
def migrations() -> tuple[Script, ...]:
    """Read the migrations this release knows, in order."""
    return tuple(_read(_sql_folder() / "migrations", r"\d{4}_[a-z0-9_]+\.sql"))


def schema_version() -> int:
    """Return the number of the newest migration this release knows."""
    return int(migrations()[-1].name[:4])


@cache
def functions() -> Script:
    """Read sql/functions as one script; order does not matter to its pieces."""
    pieces = _read(_sql_folder() / "functions", r"[a-z0-9_]+\.sql")
    sql = "\n".join(piece.sql for piece in pieces)
    return Script(FUNCTIONS, sql, hashlib.sha256(sql.encode()).hexdigest()[:16])


async def applied(connection: asyncpg.Connection) -> dict[str, str]:
    """Return the ledger: name → checksum; empty where chimeway was never installed."""
    if await connection.fetchval("select to_regclass('chimeway.schema_migrations')") is None:
        return {}
    rows = await connection.fetch("select name, checksum from chimeway.schema_migrations")
    return {row["name"]: row["checksum"] for row in rows}


def pending(ledger: dict[str, str]) -> list[Script]:
    """Decide what is left to apply.

    Raises:
        MigrationDrift: an applied migration is not the file of this release, or the database knows
            migrations that this release does not.
    """
    known = {script.name: script for script in migrations()}
    for name, checksum in sorted(ledger.items()):
        if name == FUNCTIONS:
            continue
        if name not in known:
            raise MigrationDrift(
                f"the database has migration {name}, which chimewayd {__version__} does not know: "
                f"{INSTALL_NEWER}"
            )
        if known[name].checksum != checksum:
            raise MigrationDrift(
                f"migration {name} was applied with another text than the file of chimewayd "
                f"{__version__}: applied migrations are never edited; restore the file"
            )
    todo = [script for script in migrations() if script.name not in ledger]
    if todo or ledger.get(FUNCTIONS) != functions().checksum:
        todo.append(functions())
    return todo


async def check(connection: asyncpg.Connection) -> None:
    """Make sure that the database speaks this release's schema.

    Raises:
        SchemaMismatch: it is older, and `chimewayd migrate` is what helps; or it is newer.
        MigrationDrift: an applied migration is not the file of this release.
    """
    ledger = await applied(connection)
    newest = migrations()[-1].name
    found = max((name for name in ledger if name != FUNCTIONS), default=newest)
    if found > newest:
        raise SchemaMismatch(found=found, needed=newest, remedy=INSTALL_NEWER)
    todo = pending(ledger)
    if todo:
        found = max((name for name in ledger if name != FUNCTIONS), default="no chimeway schema")
        raise SchemaMismatch(found=found, needed=", ".join(script.name for script in todo))


async def unfinished(connection: asyncpg.Connection) -> list[str]:
    """Name what `apply` would apply.

    Raises:
        MigrationDrift: see `pending`.
    """
    todo = pending(await applied(connection))
    _, is_ours_to_give = await rights.owner(connection)
    if todo or is_ours_to_give or await rights.differ(connection):
        return [*(script.name for script in todo), RIGHTS]
    return []


async def apply(
    connection: asyncpg.Connection, begin: Callable[[Step], None] = lambda _: None
) -> list[str]:
    """Apply what is pending and return the names; an empty list means there was nothing to do.

    `begin` is called with each step before it is taken.

    Raises:
        MigrationDrift: see `pending`.
        TryAgain: another migration held the lock for half a minute.
        ChimewaydError: the login may not; says who may.
    """
    for _ in range(LOCK_ATTEMPTS):
        try:
            # The lock is the transaction's: behind a pooler that of a session would be left behind.
            async with connection.transaction(isolation="read_committed"):
                if await connection.fetchval("select pg_try_advisory_xact_lock($1)", LOCK):
                    return await _apply(connection, begin)
        except asyncpg.InsufficientPrivilegeError as error:
            owner, _ = await rights.owner(connection)
            if owner is None:
                raise
            raise ChimewaydError(
                f"{error.args[0]}: {owner} owns the schema; migrate as a member of that, or as a "
                "superuser"
            ) from error
        # Asked for again and again, not waited for: who waits holds a snapshot.
        await anyio.sleep(LOCK_RETRY_SECONDS)
    raise TryAgain("another chimewayd migrate is at work on this database: try again later")


async def _apply(connection: asyncpg.Connection, begin: Callable[[Step], None]) -> list[str]:
    names = await unfinished(connection)
    if names:
        # Waiting for a lock on a table makes everybody else wait behind us.
        await connection.execute("set local lock_timeout = '5s'")
        await connection.execute(f"set local statement_timeout = '{STATEMENT_SECONDS}s'")
        # Not every server's system can tell.
        with suppress(asyncpg.InvalidParameterValueError):
            async with connection.transaction():
                await connection.execute(f"set local {LOOK_FOR_US} = '{LOOK_FOR_US_SECONDS}s'")
        await connection.execute(SETTINGS)
        # What is handed over is written anew, and must not look like what `_run` made.
        async with connection.transaction():
            await connection.execute(rights.PREPARE)
        await connection.execute(LEDGER)
        todo = pending(await applied(connection))
        for number, script in enumerate(todo, 1):
            begin(Step(number, len(todo), script.name))
            await _run(connection, script)
        await connection.execute(rights.GRANT)
    return names


async def _run(connection: asyncpg.Connection, script: Script) -> None:
    await connection.execute(script.sql, timeout=STATEMENT_SECONDS)
    if script.name == FUNCTIONS:
        await connection.execute(DROP_ORPHANS)
    await connection.execute(
        "insert into chimeway.schema_migrations (name, checksum, release) values ($1, $2, $3) "
        "on conflict (name) do update set checksum = excluded.checksum, "
        "release = excluded.release, applied_at = now(), applied_by = session_user",
        script.name,
        script.checksum,
        __version__,
    )


def _ledger_row(script: Script) -> str:
    values = f"'{script.name}', '{script.checksum}', '{__version__}'"
    return f"insert into chimeway.schema_migrations (name, checksum, release) values ({values});"  # noqa: S608 - our own files' names and digests


def render() -> str:
    """Print everything as SQL for other tools; run it with `psql -v ON_ERROR_STOP=1`."""
    parts = ["begin;", *(text.strip() for text in (SETTINGS, rights.PREPARE, LEDGER))]
    for script in (*migrations(), functions()):
        parts += [
            f"-- {script.name}",
            script.sql.rstrip(),
            _ledger_row(script),
        ]
    return "\n\n".join([*parts, rights.GRANT.strip(), "commit;"]) + "\n"
