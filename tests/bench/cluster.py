"""The one Postgres of the run, as production has it, and databases made from templates."""

import importlib.util
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import asyncpg
from databases import with_database

from chimewayd import embedded

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "max_connections": "200",
}


@dataclass(slots=True)
class Cluster:
    """A running server; every engine and every round has a database of its own."""

    dsn: str
    version: str
    templates: dict[str, str] = field(default_factory=dict)
    databases: int = 0

    async def template(self, key: str, fill: Callable[[str], Awaitable[None]]) -> str:
        """Return the name of the database that `fill` made ready, making it the first time."""
        if key not in self.templates:
            self.databases += 1
            name = f"template_{self.databases}"
            await self.execute(f"create database {name}")
            dsn = with_database(self.dsn, name)
            await fill(dsn)
            async with connected(dsn) as connection:
                await connection.execute("vacuum analyze")
            self.templates[key] = name
        return self.templates[key]

    @asynccontextmanager
    async def database(self, template: str) -> AsyncIterator[str]:
        """Clone a template, yield the clone's DSN, and drop it. Begins after a checkpoint."""
        self.databases += 1
        name = f"run_{self.databases}"
        await self.execute(f"create database {name} template {template} strategy file_copy")
        await self.execute("checkpoint")
        try:
            yield with_database(self.dsn, name)
        finally:
            await self.execute(f"drop database {name} with (force)")

    async def execute(self, *statements: str) -> None:
        """Run statements in the administrator's database, each by itself."""
        async with connected(self.dsn) as connection:
            for statement in statements:
                await connection.execute(statement)

    async def configure(self, settings: Mapping[str, str]) -> None:
        """Set what the server reloads; an empty value is the start's own again."""
        for name, value in settings.items():
            change = f"set {name} = '{value}'" if value else f"reset {name}"
            await self.execute(f"alter system {change}")
        await self.execute("select pg_reload_conf()")
        async with connected(self.dsn) as connection:
            for name, value in settings.items():
                while value and await connection.fetchval(f"show {name}") != value:
                    time.sleep(0.01)  # noqa: ASYNC251 - nothing else is to run meanwhile


@contextmanager
def running() -> Iterator[Cluster]:
    """Run a throw-away cluster that writes as safely as one that is kept."""
    # A kept one, because of a throw-away one only the command line could switch full_page_writes.
    with tempfile.TemporaryDirectory(prefix="chimewayd-bench-") as directory:
        os.chmod(directory, 0o711)  # noqa: PTH101, S103 - the server's account passes through
        with embedded.server(Path(directory) / "data", settings=SETTINGS) as server:
            yield Cluster(server.dsn, server.version)


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[Connection]:
    """Connect for as long as the block."""
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        connection.terminate()


def pgbench() -> Path | None:
    """Find pgbench: the wheel's, which is the server's age, or that of the system."""
    spec = importlib.util.find_spec(embedded.WHEEL)
    wheel = Path(spec.origin).parent.glob("*/bin/pgbench") if spec and spec.origin else ()
    on_path = shutil.which("pgbench")
    system = Path("/usr/lib/postgresql").glob("*/bin/pgbench")
    found = [*sorted(wheel, reverse=True), *([Path(on_path)] if on_path else []), *sorted(system)]
    return next(iter(found), None)
