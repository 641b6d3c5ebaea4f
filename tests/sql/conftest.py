"""One database and one session for all SQL tests, reset before each.

A clone takes longer than a test, and so does planning the large statements in a new session.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import asyncpg
import databases
import pytest
from engine import Bell, Connection, check_invariants

from chimewayd import migrate

WIPE = """
truncate chimeway.channels, chimeway.rates, chimeway.breakers, chimeway.fallbacks;
set session_replication_role = replica; -- retention alone deletes what has ended
delete from chimeway.deliveries;
delete from chimeway.jobs;
delete from chimeway.claims;
delete from chimeway.delivery_attempts;
delete from chimeway.delivery_events;
delete from chimeway.suppressions;
delete from chimeway.daemons;
delete from chimeway.tallies;
reset session_replication_role;
select setval('chimeway.bell_rung', nextval('chimeway.bell_armed'));
"""

SETTINGS = {"lock_timeout": "10s"}
"""A session that waits for a lock which its own test holds must not hang the run."""


@pytest.fixture(scope="session")
async def sql_dsn(postgres: databases.Postgres, template_database: str) -> AsyncIterator[str]:
    """The DSN of the SQL tests' database."""
    async with databases.database(postgres.dsn, template_database) as name:
        yield databases.with_database(postgres.dsn, name)


@pytest.fixture(scope="session")
async def sql_session(sql_dsn: str) -> AsyncIterator[Connection]:
    """The session that most tests share."""
    connection = await asyncpg.connect(sql_dsn, server_settings=SETTINGS)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
async def unchecked(sql_session: Connection) -> AsyncIterator[Connection]:
    """A connection to an empty queue, for tests that break an invariant on purpose."""
    await sql_session.execute(WIPE)
    yield sql_session
    await sql_session.reset()  # settings, listeners, an open transaction


@pytest.fixture
async def connection(unchecked: Connection) -> AsyncIterator[Connection]:
    """A connection to an empty queue, whose invariants must hold when the test is over."""
    yield unchecked
    await check_invariants(unchecked)


@pytest.fixture
async def connect(
    unchecked: Connection,  # noqa: ARG001 - empties the queue first
    sql_dsn: str,
) -> AsyncIterator[Callable[[], Awaitable[Connection]]]:
    """Open further connections; they are closed after the test."""
    async with AsyncExitStack() as stack:

        async def open_connection() -> Connection:
            connection = await asyncpg.connect(sql_dsn, server_settings=SETTINGS)
            stack.push_async_callback(connection.close)
            return connection

        yield open_connection


@pytest.fixture
async def other(connect: Callable[[], Awaitable[Connection]]) -> Connection:
    """A second connection to the same queue."""
    return await connect()


@pytest.fixture
async def bell(other: Connection) -> Bell:
    """A daemon that listens and has just gone to sleep."""
    bell = Bell(other)
    await bell.listen()
    await bell.arm()
    return bell


@pytest.fixture
async def migrated(empty_dsn: str) -> AsyncIterator[Connection]:
    """A connection to a database in which nothing ever happened, with the shipped clock."""
    connection = await asyncpg.connect(empty_dsn)
    try:
        await migrate.apply(connection)
        yield connection
    finally:
        await connection.close()
