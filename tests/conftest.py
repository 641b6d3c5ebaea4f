"""Fixtures: one server and one migrated template a session, one clone of it a test."""

import os
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import databases
import pytest

from chimewayd import migrate

CLOCK = Path(__file__).parent / "sql" / "clock.sql"
MOST_WORKERS = 8
"""Each has a server, a template and a hundred processes at times."""

SOURCE = pytest.StashKey[databases.Source]()


def pytest_configure(config: pytest.Config) -> None:
    """Choose the server before anything runs, so that a choice that cannot be met ends the run."""
    try:
        config.stash[SOURCE] = databases.choose(os.environ, databases.docker_answers)
        databases.wanted_version(os.environ)
    except databases.ChoiceError as error:
        raise pytest.UsageError(str(error)) from error


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist, for -n auto
def pytest_xdist_auto_num_workers() -> int:
    """Run one worker more than there are cores: tests wait most of the time."""
    return min(len(os.sched_getaffinity(0)) + 1, MOST_WORKERS)


def pytest_report_header(config: pytest.Config) -> str:
    """Show the choice."""
    names = (databases.CHOICE, databases.VERSION)
    said = ", ".join(f"{name}={os.environ[name]}" for name in names if name in os.environ)
    return f"postgres: {config.stash[SOURCE]} ({said or f'{databases.CHOICE}=auto'})"


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Run async tests and fixtures the way the daemon runs."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="session")
def postgres(
    pytestconfig: pytest.Config,
    anyio_backend: object,  # noqa: ARG001 - brings in the event loop of the async fixtures below
) -> Iterator[databases.Postgres]:
    """The tests' server."""
    with databases.running(pytestconfig.stash[SOURCE], os.environ) as server:
        yield server


@pytest.fixture(scope="session")
async def template_database(postgres: databases.Postgres) -> AsyncIterator[str]:
    """The name of a migrated database with the tests' clock: to be cloned, not used."""
    async with databases.database(postgres.dsn) as name:
        connection = await asyncpg.connect(databases.with_database(postgres.dsn, name))
        try:
            await migrate.apply(connection)
            if CLOCK.exists():
                await connection.execute(CLOCK.read_text())
        finally:
            await connection.close()
        yield name


@pytest.fixture
async def dsn(postgres: databases.Postgres, template_database: str) -> AsyncIterator[str]:
    """The DSN of a migrated database of the test's own."""
    async with databases.database(postgres.dsn, template_database) as name:
        yield databases.with_database(postgres.dsn, name)


@pytest.fixture
async def empty_dsn(postgres: databases.Postgres) -> AsyncIterator[str]:
    """The DSN of an empty database of the test's own."""
    async with databases.database(postgres.dsn) as name:
        yield databases.with_database(postgres.dsn, name)


@pytest.fixture
async def connection(dsn: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection to the test's own database."""
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
def unused_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
