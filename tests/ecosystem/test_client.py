"""chimewayd.client: one insert, in the caller's transaction, whatever the connection is."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from inspect import isawaitable
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import engine
import psycopg
import psycopg.rows
import pytest
import sqlalchemy
import sqlalchemy.exc
import sqlalchemy.ext.asyncio
import sqlalchemy.orm

from chimewayd.client import enqueue

pytestmark = pytest.mark.anyio

SOON = datetime.now(UTC) + timedelta(hours=1)
PAYLOAD = {"text": "Ö %s :x $1"}
EVERYTHING: dict[str, Any] = {
    "id": uuid4(),
    "idempotency_key": "order-42",
    "tenant_id": "acme",
    "notification_key": "order.shipped",
    "correlation_id": "trace-7",
    "priority": -5,
    "max_attempts": 3,
    "scheduled_at": SOON,
    "expires_at": SOON + timedelta(hours=1),
    "metadata": {"user": "Ada"},
}
DUPLICATES = (
    asyncpg.UniqueViolationError,
    psycopg.errors.UniqueViolation,
    sqlalchemy.exc.IntegrityError,
)


class Rolled(Exception):  # noqa: N818 - not an error: how a transaction is given up
    """Ends a transaction without a commit."""


@asynccontextmanager
async def by_asyncpg(dsn: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction():
            yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def by_asyncpg_pool(dsn: str) -> AsyncIterator[Any]:
    async with (
        asyncpg.create_pool(dsn, min_size=1) as pool,
        pool.acquire() as connection,
        connection.transaction(),
    ):
        yield connection


@asynccontextmanager
async def by_psycopg(dsn: str) -> AsyncIterator[Any]:
    with psycopg.connect(dsn, row_factory=psycopg.rows.dict_row) as connection:
        yield connection


@asynccontextmanager
async def by_psycopg_async(dsn: str) -> AsyncIterator[Any]:
    # Its own connect waits for the file descriptor in a way that uvloop takes as well.
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        yield connection


def engine_of(dsn: str) -> sqlalchemy.Engine:
    return sqlalchemy.create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(dsn),
        poolclass=sqlalchemy.NullPool,
    )


@asynccontextmanager
async def by_sqlalchemy(dsn: str) -> AsyncIterator[Any]:
    with engine_of(dsn).begin() as connection:
        yield connection


class OwnSession(sqlalchemy.orm.Session):
    """What frameworks make of it."""


@asynccontextmanager
async def by_session(dsn: str) -> AsyncIterator[Any]:
    with OwnSession(engine_of(dsn)) as session, session.begin():
        yield session


@asynccontextmanager
async def by_sqlalchemy_async(dsn: str) -> AsyncIterator[Any]:
    asynchronous = sqlalchemy.ext.asyncio.create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(dsn)
    )
    try:
        async with asynchronous.begin() as connection:
            yield connection
    finally:
        await asynchronous.dispose()


@asynccontextmanager
async def by_async_session(dsn: str) -> AsyncIterator[Any]:
    async with (
        by_sqlalchemy_async(dsn) as connection,
        sqlalchemy.ext.asyncio.AsyncSession(connection) as session,
        session.begin(),
    ):
        yield session


OPENERS: dict[str, Callable[[str], AbstractAsyncContextManager[Any]]] = {
    "asyncpg": by_asyncpg,
    "asyncpg pool": by_asyncpg_pool,
    "psycopg": by_psycopg,
    "psycopg async": by_psycopg_async,
    "SQLAlchemy": by_sqlalchemy,
    "SQLAlchemy session": by_session,
    "SQLAlchemy async": by_sqlalchemy_async,
    "SQLAlchemy async session": by_async_session,
}


@pytest.fixture(params=OPENERS)
def opened(request: pytest.FixtureRequest) -> Callable[[str], AbstractAsyncContextManager[Any]]:
    """Open a connection of each kind in a transaction."""
    return OPENERS[request.param]


async def put(connection: Any, *arguments: Any, **options: Any) -> UUID | None:
    answer: Awaitable[UUID | None] | UUID | None = enqueue(connection, *arguments, **options)
    return await answer if isawaitable(answer) else answer


async def test_each_column_arrives_as_it_was_given(
    opened: Callable[[str], AbstractAsyncContextManager[Any]],
    dsn: str,
    connection: engine.Connection,
) -> None:
    async with opened(dsn) as producer:
        delivery_id = await put(
            producer, "email", "ada@example.org", {"text": "Ö%s :x"}, **EVERYTHING
        )

    row = await engine.look(connection, EVERYTHING["id"])
    assert delivery_id == EVERYTHING["id"]
    assert {name: row[name] for name in EVERYTHING if name != "metadata"} == {
        name: value for name, value in EVERYTHING.items() if name != "metadata"
    }
    assert (
        await connection.fetchval("select payload ->> 'text' from chimeway.deliveries") == "Ö%s :x"
    )
    assert await connection.fetchval("select metadata ->> 'user' from chimeway.deliveries") == "Ada"
    assert len(await engine.jobs_of(connection, EVERYTHING["id"])) == 1


async def test_what_is_rolled_back_was_never_there(
    opened: Callable[[str], AbstractAsyncContextManager[Any]],
    dsn: str,
    connection: engine.Connection,
) -> None:
    with pytest.raises(Rolled):  # noqa: PT012 - how the transaction is given up
        async with opened(dsn) as producer:
            assert await put(producer, "email", "ada", {})
            assert await connection.fetchval("select count(*) from chimeway.deliveries") == 0
            raise Rolled

    assert await connection.fetchval("select count(*) from chimeway.deliveries") == 0
    assert await connection.fetchval("select count(*) from chimeway.jobs") == 0


async def test_a_known_key_is_an_error_or_nothing(
    opened: Callable[[str], AbstractAsyncContextManager[Any]],
    dsn: str,
    connection: engine.Connection,
) -> None:
    await engine.insert(connection, idempotency_key="order-42")

    async with opened(dsn) as producer:
        skipped = await put(
            producer, "email", "ada", {}, idempotency_key="order-42", skip_if_known=True
        )
    with pytest.raises(DUPLICATES):
        async with opened(dsn) as producer:
            await put(producer, "email", "ada", {}, idempotency_key="order-42")

    assert skipped is None
    assert await connection.fetchval("select count(*) from chimeway.deliveries") == 1


async def test_what_is_left_out_has_the_tables_default(
    dsn: str, connection: engine.Connection
) -> None:
    async with by_asyncpg(dsn) as producer:
        delivery_id = await put(producer, "email", "ada", [1, "two", None])

    assert delivery_id is not None
    row = await engine.look(connection, delivery_id)
    assert (row["priority"], row["max_attempts"], row["metadata"]) == (0, None, "{}")
    assert row["payload"] == '[1, "two", null]'


async def test_what_it_does_not_know_is_refused_before_the_insert(dsn: str) -> None:
    async with by_asyncpg(dsn) as producer:
        with pytest.raises(TypeError, match="no column of a producer's: status"):
            await put(producer, "email", "ada", {}, status="succeeded")
        with pytest.raises(ValueError, match="not JSON compliant"):
            await put(producer, "email", "ada", {"x": float("nan")})
        with pytest.raises(TypeError, match="no time zone: scheduled_at"):
            await put(producer, "email", "ada", {}, scheduled_at=SOON.replace(tzinfo=None))


async def test_what_is_no_connection_is_refused_though_its_makers_are_known(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        for other in (object(), engine_of(dsn), connection.cursor()):
            with pytest.raises(TypeError, match="no connection of asyncpg, psycopg or SQLAlchemy"):
                await put(other, "email", "ada", {})
