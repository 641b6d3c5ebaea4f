"""A session through a pooler: each transaction may meet another process of the server.

Prepared statements and settings belong to a process, and strangers use the same one. So no
statement is kept by name, and each is a transaction of its own that sets what protects it.
"""
# ruff: noqa: ASYNC109 - asyncpg's own signatures

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeGuard

import asyncpg

PROTECTIONS = {
    "synchronous_commit": "on",
    "lock_timeout": "1s",
    "statement_timeout": "7s",
    "idle_in_transaction_session_timeout": "10s",
    "jit": "off",
    # The look after arming the bell must see what was committed before it.
    "default_transaction_isolation": "read committed",
}


class PooledConnection(asyncpg.Connection):
    """Runs each statement in a transaction with PROTECTIONS; needs `statement_cache_size=0`."""

    statement_timeout = PROTECTIONS["statement_timeout"]

    async def fetch(
        self, query: str, *args: object, timeout: float | None = None, record_class: Any = None
    ) -> list[Any]:
        async with self._transaction():
            rows: list[Any] = await super().fetch(
                query, *args, timeout=timeout, record_class=record_class
            )
            return rows

    async def fetchrow(
        self, query: str, *args: object, timeout: float | None = None, record_class: Any = None
    ) -> Any:
        async with self._transaction():
            return await super().fetchrow(query, *args, timeout=timeout, record_class=record_class)

    async def fetchval(
        self, query: str, *args: object, column: int = 0, timeout: float | None = None
    ) -> Any:
        async with self._transaction():
            return await super().fetchval(query, *args, column=column, timeout=timeout)

    async def execute(self, query: str, *args: object, timeout: float | None = None) -> str:
        if not args:
            return await super().execute(query, timeout=timeout)
        async with self._transaction():
            return await super().execute(query, *args, timeout=timeout)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        if self.is_in_transaction():
            yield
            return
        settings = PROTECTIONS | {"statement_timeout": self.statement_timeout}
        made = "; ".join(f"set local {name} = '{value}'" for name, value in settings.items())
        await super().execute(f"begin isolation level read committed; {made}")
        try:
            yield
        except asyncpg.PostgresError:
            await super().execute("rollback")
            raise
        except BaseException:
            # What is still to come on this wire would be the next statement's answer.
            self.terminate()
            raise
        await super().execute("commit")


def is_pooled(connection: asyncpg.Connection) -> TypeGuard[PooledConnection]:
    """Whether it is one of these; to asyncpg every connection is an instance of every class."""
    return type(connection) is PooledConnection
