"""Sessions with the database.

A daemon has several, by what would be lost if they shared one:

    claims      claiming
    records     recording and releasing only: a slow claim never keeps an outcome waiting
    upkeep      heartbeats and sweeps
    listener    LISTEN (`listen_dsn`, where a pooler stands in between)

Each call has a deadline; a connection that missed it is terminated, never waited for, because a
half-open socket answers nothing, not even a goodbye.
"""

import asyncio
import os
from collections.abc import Callable
from typing import Any, Self

import anyio
import asyncpg

from chimewayd import dsn as dsn_module
from chimewayd.errors import DatabaseUnavailable

JOB_CHANNEL = "chimeway_jobs"
"""The NOTIFY channel; sql/functions/ring.sql is its other end."""

CALL_TIMEOUT = 10.0
"""Seconds that one statement of the daemon may take."""

BULK_TIMEOUT = 600.0
"""Seconds that one statement over many deliveries may take: an operator waits for it."""

NOT_NOW = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.exceptions.InsufficientResourcesError,
    asyncpg.exceptions.LockNotAvailableError,
    asyncpg.exceptions.OperatorInterventionError,
    asyncpg.exceptions.ReadOnlySQLTransactionError,
    asyncpg.exceptions.TransactionRollbackError,
)
"""What a database answers that is away, starting, full, locked, overrun or failing over."""

SERVER_SETTINGS = {
    "application_name": "chimewayd",
    "synchronous_commit": "on",
    "lock_timeout": "5s",
    "statement_timeout": "10s",
    "idle_in_transaction_session_timeout": "10s",
    "jit": "off",
}


async def connect(dsn: str, *, role: str = "command") -> asyncpg.Connection:
    """Open one session.

    Raises:
        DatabaseUnavailable: nobody answered, or the answer was no; says which server was asked.
        ConfigError: the DSN cannot be read.
    """
    target = dsn_module.parse(dsn, os.environ)
    settings = SERVER_SETTINGS | {"application_name": f"chimewayd/{role}"}
    try:
        return await asyncpg.connect(
            target.dsn,
            timeout=target.connect_timeout,
            command_timeout=CALL_TIMEOUT,
            server_settings=settings,
        )
    except (*NOT_NOW, asyncpg.PostgresError) as error:
        raise DatabaseUnavailable(
            f"cannot connect to {dsn_module.describe(dsn)}: {describe_error(error)}; "
            "check the setting dsn (CHIMEWAYD_DSN) and that the server runs"
        ) from error


async def allow_long_statements(connection: asyncpg.Connection) -> None:
    """Let the server work on one statement as long as BULK_TIMEOUT; `fetch` is told by callers."""
    limit = f"{BULK_TIMEOUT:.0f}s"
    await connection.execute("select set_config('statement_timeout', $1, false)", limit)


def describe_error(error: BaseException) -> str:
    """Say what went wrong in one line; some errors of the network have no words of their own."""
    return str(error).strip() or type(error).__name__


class Session:
    """One database session of the daemon; it reconnects when it is used after a loss."""

    def __init__(self, dsn: str, role: str) -> None:
        self._dsn = dsn
        self._role = role
        self._connection: asyncpg.Connection | None = None
        self._turn = anyio.Lock()

    async def __aenter__(self) -> Self:
        await self._connected()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.drop()

    async def _connected(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._dsn, role=self._role)
        return self._connection

    def drop(self) -> None:
        """Cut the connection at once, whatever it is doing."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def fetch(self, sql: str, *arguments: Any) -> list[asyncpg.Record]:
        """Run one statement within its deadline.

        Raises:
            DatabaseUnavailable: the connection is gone; whether the statement took effect is not
                known. The next call connects anew.
        """
        async with self._turn:
            connection = await self._connected()
            try:
                with anyio.fail_after(CALL_TIMEOUT + 1):
                    return await connection.fetch(sql, *arguments)
            except NOT_NOW as error:
                self.drop()
                raise DatabaseUnavailable(
                    f"lost the database ({self._role}): {describe_error(error)}"
                ) from error
            except asyncio.CancelledError:
                # What is still to come on this wire would be the next statement's answer.
                self.drop()
                raise

    async def listen(self, rung: Callable[[], None], lost: Callable[[], None]) -> None:
        """Subscribe to the doorbell: `rung` is called at each ring, `lost` when the session ends.

        Raises:
            DatabaseUnavailable: there is no session to subscribe with.
        """
        connection = await self._connected()
        connection.add_termination_listener(lambda *_: lost())
        try:
            with anyio.fail_after(CALL_TIMEOUT):
                await connection.add_listener(JOB_CHANNEL, lambda *_: rung())
        except NOT_NOW as error:
            self.drop()
            raise DatabaseUnavailable(f"cannot listen: {describe_error(error)}") from error

    async def is_alive(self) -> bool:
        """Whether the session answers; it is dropped if it does not."""
        try:
            await self.fetch("select 1")
        except DatabaseUnavailable:
            return False
        return True
