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
import math
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, ClassVar, Self, assert_never

import anyio
import asyncpg

from chimewayd import dsn as dsn_module
from chimewayd.connect import NoServer, find_server
from chimewayd.errors import ConfigError, DatabaseUnavailable, Locked
from chimewayd.pooled import is_pooled
from chimewayd.target import SessionAttrs

JOB_CHANNEL = "chimeway_jobs"
"""The NOTIFY channel; sql/functions/notify_daemons.sql is its other end."""

PROBE_CHANNEL = "chimeway_probe"
"""On which daemons hear whether they would hear."""

CALL_TIMEOUT = 7.0
"""Seconds that one statement of the daemon may take: as long as its socket may be silent."""

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
    asyncpg.exceptions.PostgresSystemError,
    asyncpg.exceptions.ReadOnlySQLTransactionError,
    asyncpg.exceptions.TransactionRollbackError,
)
"""What a database answers that is away, starting, full, locked, overrun, failing over, or
whose disk fails.
"""


async def connect(dsn: str, *, role: str = "command", writes: bool = False) -> asyncpg.Connection:
    """Open one session; if it `writes`, with a server that takes writes.

    Raises:
        DatabaseUnavailable: nobody answered, or the answer was no; says which server was asked.
        ConfigError: the DSN cannot be read, or wants a server that takes no writes.
    """
    target = dsn_module.parse(dsn, os.environ)
    wanted = _writable(target.session_attrs) if writes else target.session_attrs
    try:
        return await find_server(target, wanted, f"chimewayd/{role}", CALL_TIMEOUT)
    except NoServer as error:
        reasons = {place: describe_error(cause) for place, cause in error.failures.items()}
        told = [f"{place}: {reason}" for place, reason in reasons.items()]
        why = "; ".join(told if len(told) > 1 else reasons.values())
        raise DatabaseUnavailable(
            f"cannot connect to {dsn_module.describe(dsn)}: {why}; "
            "check the setting dsn (CHIMEWAYD_DSN) and that the server runs"
        ) from error


def _writable(wanted: SessionAttrs) -> SessionAttrs:
    match wanted:
        case SessionAttrs.ANY | SessionAttrs.PRIMARY | SessionAttrs.READ_WRITE:
            return SessionAttrs.READ_WRITE
        case SessionAttrs.READ_ONLY | SessionAttrs.STANDBY | SessionAttrs.PREFER_STANDBY:
            raise ConfigError(
                "dsn",
                f"target_session_attrs={wanted}, but the daemon writes",
                SessionAttrs.READ_WRITE,
            )
        case _:
            assert_never(wanted)


async def allow_long_statements(connection: asyncpg.Connection) -> None:
    """Let the server work on one statement as long as BULK_TIMEOUT; `fetch` is told by callers."""
    limit = f"{BULK_TIMEOUT:.0f}s"
    if is_pooled(connection):
        connection.statement_timeout = limit
        return
    await connection.execute("select set_config('statement_timeout', $1, false)", limit)


def describe_error(error: BaseException) -> str:
    """Say what went wrong in one line; some errors of the network have no words of their own."""
    return str(error).strip() or type(error).__name__


class Session:
    """One database session of the daemon; it reconnects when it is used after a loss.

    Where one session met silence, those that were opened before are cut before they are used
    again: each would wait for its own deadline, one after the other.
    """

    _silent_at: ClassVar[dict[str, float]] = {}
    """When a server last met a statement with silence, by DSN."""

    def __init__(self, dsn: str, role: str) -> None:
        self._dsn = dsn
        self._role = role
        self._connection: asyncpg.Connection | None = None
        self._connected_at = -math.inf
        self._turn = anyio.Lock()

    async def __aenter__(self) -> Self:
        await self._connected()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.drop()

    @property
    def is_pooled(self) -> bool:
        """Whether a pooler was met: then nothing that a server keeps for a session is ours."""
        return self._connection is not None and is_pooled(self._connection)

    async def _connected(self) -> asyncpg.Connection:
        if self._connected_at < self._silent_at.get(self._dsn, -math.inf):
            self.drop()
        if self._connection is None or self._connection.is_closed():
            try:
                self._connection = await connect(self._dsn, role=self._role, writes=True)
            except ConfigError as error:
                if self._connected_at == -math.inf:
                    raise
                # It was right before: a service file may be on its way to be right again.
                raise DatabaseUnavailable(str(error)) from error
            self._connected_at = anyio.current_time()
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
            except asyncpg.exceptions.LockNotAvailableError as error:
                raise Locked(
                    f"waiting for a lock ({self._role}): {describe_error(error)}"
                ) from error
            except NOT_NOW as error:
                self.drop()
                if isinstance(error, TimeoutError):
                    self._silent_at[self._dsn] = anyio.current_time()
                raise DatabaseUnavailable(
                    f"lost the database ({self._role}): {describe_error(error)}"
                ) from error
            except asyncio.CancelledError:
                # What is still to come on this wire would be the next statement's answer.
                self.drop()
                raise

    async def listen(
        self, heard: Mapping[str, Callable[[str], None]], lost: Callable[[], None]
    ) -> None:
        """Subscribe to channels: `heard` is called with payloads, `lost` when the session ends.

        Raises:
            DatabaseUnavailable: there is no session to subscribe with.
        """
        connection = await self._connected()
        try:
            with anyio.fail_after(CALL_TIMEOUT):
                for channel, call in heard.items():
                    await connection.add_listener(channel, _with_payload(call))
            # Not before: a loss on the way is told by the error.
            connection.add_termination_listener(lambda *_: lost())
        except NOT_NOW as error:
            self.drop()
            raise DatabaseUnavailable(f"cannot listen: {describe_error(error)}") from error

    async def notify(self, channel: str, payload: str) -> None:
        """Send a notification.

        Raises:
            DatabaseUnavailable: the connection is gone, or the server takes no notifications.
        """
        try:
            await self.fetch("select pg_catalog.pg_notify($1, $2)", channel, payload)
        except asyncpg.exceptions.ProgramLimitExceededError as error:
            raise DatabaseUnavailable(f"cannot notify: {describe_error(error)}") from error

    async def is_alive(self, within: float) -> bool:
        """Whether the session answers within these seconds; it is dropped if it does not."""
        if self._connection is None or self._connection.is_closed():
            # To ask now would be to connect anew, without the subscriptions.
            return False
        with anyio.move_on_after(within), suppress(DatabaseUnavailable):
            await self.fetch("select 1")
            return True
        return False


def _with_payload(call: Callable[[str], None]) -> Callable[[object, int, str, object], None]:
    return lambda _connection, _process_id, _channel, payload: call(str(payload))
