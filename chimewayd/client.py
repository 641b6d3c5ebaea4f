"""Inserts a delivery on a connection of yours: in your transaction, and nothing but the insert.

    with engine.begin() as connection:                                  # SQLAlchemy
        connection.execute(ship_the_order)
        enqueue(connection, "orders", url, {"type": "order.shipped", "order": 42})

    async with connection.transaction():                                # asyncpg
        await enqueue(connection, "orders", url, {"type": "order.shipped", "order": 42})

Takes connections of asyncpg, psycopg and SQLAlchemy, and SQLAlchemy's sessions; what comes back is
to be awaited where the connection's own methods are. It commits nothing and opens nothing.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, Unpack, overload
from uuid import UUID

if TYPE_CHECKING:
    import asyncpg
    import psycopg
    import sqlalchemy.ext.asyncio
    import sqlalchemy.orm
    from asyncpg.pool import PoolConnectionProxy

    Asynchronous: TypeAlias = (
        asyncpg.Connection[Any]
        | PoolConnectionProxy[Any]
        | psycopg.AsyncConnection[Any]
        | sqlalchemy.ext.asyncio.AsyncConnection
        | sqlalchemy.ext.asyncio.AsyncSession
    )
    Synchronous: TypeAlias = (
        psycopg.Connection[Any] | sqlalchemy.Connection | sqlalchemy.orm.Session
    )

__all__ = ["Options", "enqueue"]

_TYPES = {
    "channel": "text",
    "recipient": "text",
    "payload": "jsonb",
    "id": "uuid",
    "idempotency_key": "text",
    "tenant_id": "text",
    "notification_key": "text",
    "correlation_id": "text",
    "priority": "smallint",
    "max_attempts": "smallint",
    "scheduled_at": "timestamptz",
    "expires_at": "timestamptz",
    "metadata": "jsonb",
}


class Options(TypedDict, total=False):
    """What a producer may also write; what is left out has the table's default."""

    id: UUID
    idempotency_key: str
    tenant_id: str
    notification_key: str
    correlation_id: str
    priority: int
    """-100 to 100; smaller is sooner."""
    max_attempts: int
    scheduled_at: datetime
    """Aware; not sent before."""
    expires_at: datetime
    """Aware; not sent after."""
    metadata: Mapping[str, Any]


@overload
def enqueue(
    connection: "Asynchronous",
    channel: str,
    recipient: str,
    payload: object,
    *,
    skip_if_known: bool = False,
    **options: Unpack[Options],
) -> Awaitable[UUID | None]: ...
@overload
def enqueue(
    connection: "Synchronous",
    channel: str,
    recipient: str,
    payload: object,
    *,
    skip_if_known: bool = False,
    **options: Unpack[Options],
) -> UUID | None: ...
def enqueue(
    connection: Any,
    channel: str,
    recipient: str,
    payload: object,
    *,
    skip_if_known: bool = False,
    **options: Unpack[Options],
) -> Awaitable[UUID | None] | UUID | None:
    """Insert one delivery; return its id.

    `payload` and `metadata` are anything that JSON can say. None comes back only with
    `skip_if_known`, where the idempotency key is known already: nothing was inserted then, which
    without it is a unique violation.

    Raises:
        TypeError: the connection or an option is none that we know, a moment has no time zone, or
            JSON cannot say the payload.
        ValueError: a number of the payload is none that JSON can say, or the payload holds itself.
        The driver's own errors: as for any insert; a broken rule is a check violation.
    """
    row = {"channel": channel, "recipient": recipient, "payload": payload, **options}
    unknown = row.keys() - _TYPES.keys()
    if unknown:
        raise TypeError(f"no column of a producer's: {', '.join(sorted(unknown))}")
    naive = [n for n, v in row.items() if isinstance(v, datetime) and v.tzinfo is None]
    if naive:
        # Drivers disagree about whose time is meant, and none of them asks.
        raise TypeError(f"no time zone: {', '.join(naive)}")
    values = {
        name: json.dumps(value, allow_nan=False) if _TYPES[name] == "jsonb" else value
        for name, value in row.items()
    }
    asked = _Insert(values, skip_if_known=skip_if_known)
    # By name, so that none of them is imported for the others; applications derive from these.
    makers = {base.__module__.partition(".")[0] for base in type(connection).__mro__}
    kinds: tuple[tuple[str, str, Callable[[Any], Awaitable[UUID | None] | UUID | None]], ...] = (
        ("asyncpg", "fetchval", asked.by_asyncpg),
        ("psycopg", "cursor", asked.by_psycopg),
        ("sqlalchemy", "execute", asked.by_sqlalchemy),
    )
    for maker, method, insert in kinds:
        # An engine or a cursor is of the same makers, and no connection.
        if maker in makers and hasattr(connection, method):
            return insert(connection)
    raise TypeError(f"no connection of asyncpg, psycopg or SQLAlchemy: {type(connection)}")


class _Insert:
    def __init__(self, values: Mapping[str, object], *, skip_if_known: bool) -> None:
        self._values = values
        self._conflict = " on conflict do nothing" if skip_if_known else ""

    def _sql(self, places: list[str]) -> str:
        # By way of text: what a connection does with JSON of its own accord is not done twice.
        casts = [
            f"cast(cast({place} as text) as jsonb)"
            if _TYPES[name] == "jsonb"
            else f"cast({place} as {_TYPES[name]})"
            for name, place in zip(self._values, places, strict=True)
        ]
        columns = ", ".join(self._values)
        return (
            f"insert into chimeway.deliveries ({columns}) values ({', '.join(casts)})"  # noqa: S608 - names from _TYPES, places from below
            f"{self._conflict} returning id"
        )

    async def by_asyncpg(self, connection: Any) -> UUID | None:
        places = [f"${number}" for number in range(1, len(self._values) + 1)]
        return _id(await connection.fetchval(self._sql(places), *self._values.values()))

    def by_psycopg(self, connection: Any) -> Awaitable[UUID | None] | UUID | None:
        import psycopg  # noqa: PLC0415 - whoever has such a connection has imported it

        sql, values = self._sql(["%s"] * len(self._values)), list(self._values.values())
        rows = psycopg.rows.tuple_row

        async def insert() -> UUID | None:
            async with connection.cursor(row_factory=rows) as cursor:
                await cursor.execute(sql, values)
                return _first(await cursor.fetchone())

        if isinstance(connection, psycopg.AsyncConnection):
            return insert()
        with connection.cursor(row_factory=rows) as cursor:
            cursor.execute(sql, values)
            return _first(cursor.fetchone())

    def by_sqlalchemy(self, connection: Any) -> Awaitable[UUID | None] | UUID | None:
        import sqlalchemy  # noqa: PLC0415 - as above

        sql = sqlalchemy.text(self._sql([f":{name}" for name in self._values]))
        answer = connection.execute(sql, dict(self._values))

        async def insert() -> UUID | None:
            return _id((await answer).scalar())

        return insert() if isinstance(answer, Awaitable) else _id(answer.scalar())


def _first(row: tuple[Any, ...] | None) -> UUID | None:
    return None if row is None else _id(row[0])


def _id(value: Any) -> UUID | None:
    # Some drivers give text, asyncpg a class of its own.
    return None if value is None else UUID(str(value))
