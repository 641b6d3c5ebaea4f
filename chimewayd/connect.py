"""Finds a server: tries all hosts of the DSN nearly at once, and keeps the first that will do.

    host 1 ─▶ connect ─▶ what is it? ─┬─ fit ──▶ kept; the other attempts are cut
       │ 250 ms, or its failure       └─ unfit ─▶ cut
    host 2 ─▶ connect ─▶ …

asyncpg would try them one after the other, with one deadline for all: a first host that swallows
packets, as a dead machine does, keeps it from ever asking the second.

A pooler is known by what it gets wrong: it refuses settings at the start of a session, or the
server process that answers is not the one that greeted us.
"""

import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import assert_never

import anyio
import asyncpg
from asyncpg.connect_utils import SessionAttribute

from chimewayd.database_tls import is_refusal
from chimewayd.pooled import PROTECTIONS, PooledConnection
from chimewayd.target import Place, SessionAttrs, SocketOptions, Target

STAGGER_SECONDS = 0.25
"""How long a host may be silent before the next one is tried beside it."""

STATEMENTS_KEPT = 100
"""Prepared statements that a session remembers; the daemon has a dozen."""

SERVER_SOCKET = {
    "tcp_keepalives_idle": "3",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "2",
    "tcp_user_timeout": "7s",
}
"""The server's end of the same socket: so it gives up the locks of a daemon it cannot reach."""

WHAT_IS_IT = """
select
  pg_catalog.pg_is_in_recovery() as is_in_recovery,
  pg_catalog.current_setting('transaction_read_only') = 'on' as is_read_only,
  pg_catalog.pg_backend_pid() as process_id
"""

FAILURES = (
    OSError,
    UnicodeError,  # a host that is no name
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
"""What it may raise to connect to one place."""


class NoServer(Exception):  # noqa: N818 - says what happened
    """No place of the DSN has a server that will do: `failures` says why, place by place."""

    def __init__(self, failures: dict[Place, Exception]) -> None:
        super().__init__()
        self.failures = failures


class Unproven(OSError):  # noqa: N818 - says what happened
    """A server on another machine did not prove that it is the right one."""

    def __init__(self, error: Exception) -> None:
        super().__init__(
            f"{error}; the DSN names no sslmode, so the server must prove who it is: sslrootcert "
            "names its authority, sslmode=disable does without"
        )


class Unfit(Exception):  # noqa: N818 - says what happened
    """A server answered, and is not of the kind that is wanted."""


@dataclass(frozen=True, slots=True)
class Server:
    """What answered."""

    is_in_recovery: bool
    is_read_only: bool
    """Always so in recovery."""
    process_id: int

    def is_fit_for(self, wanted: SessionAttrs) -> bool:
        """Tell whether it will do.

        Source: PostgreSQL documentation, "Parameter Key Words", target_session_attrs.
        """
        match wanted:
            case SessionAttrs.ANY:
                return True
            case SessionAttrs.READ_WRITE:
                return not self.is_read_only
            case SessionAttrs.READ_ONLY:
                return self.is_read_only
            case SessionAttrs.PRIMARY:
                return not self.is_in_recovery
            case SessionAttrs.STANDBY | SessionAttrs.PREFER_STANDBY:
                return self.is_in_recovery
            case _:
                assert_never(wanted)

    def __str__(self) -> str:
        if self.is_in_recovery:
            return "a standby, in recovery"
        return "a read-only primary" if self.is_read_only else "a primary"


async def find_server(
    target: Target, wanted: SessionAttrs, application_name: str, call_timeout: float
) -> asyncpg.Connection:
    """Open one session with the first server that will do.

    Raises:
        NoServer: none will.
    """
    dial = partial(_dial, target, application_name, call_timeout)
    race = _Race(dial, wanted)
    try:
        return await race.run(target.places)
    except BaseException:
        race.cut()
        raise


class _Race:
    """Attempts at several places; one connection leaves it, the others are cut."""

    def __init__(
        self,
        dial: Callable[[Place], Awaitable[tuple[asyncpg.Connection, Server]]],
        wanted: SessionAttrs,
    ) -> None:
        self._dial = dial
        self._wanted = wanted
        self._fit: asyncpg.Connection | None = None
        self._spare: asyncpg.Connection | None = None
        self._failures: dict[Place, Exception] = {}

    async def run(self, places: Sequence[Place]) -> asyncpg.Connection:
        async with anyio.create_task_group() as tasks:
            for place in places:
                has_failed = anyio.Event()
                tasks.start_soon(self._attempt, place, has_failed, tasks.cancel_scope)
                with anyio.move_on_after(STAGGER_SECONDS):
                    await has_failed.wait()
        kept = self._fit or self._spare
        if kept is None:
            raise NoServer({place: self._failures[place] for place in dict.fromkeys(places)})
        if self._fit and self._spare:
            self._spare.terminate()
        return kept

    def cut(self) -> None:
        for connection in filter(None, (self._fit, self._spare)):
            connection.terminate()

    async def _attempt(
        self, place: Place, has_failed: anyio.Event, others: anyio.CancelScope
    ) -> None:
        try:
            connection, server = await self._dial(place)
        except FAILURES as error:
            self._failures[place] = error
        else:
            if self._is_kept(connection, server):
                others.cancel()
                return
            self._failures[place] = Unfit(f"{server}; {self._wanted} is wanted")
        has_failed.set()

    def _is_kept(self, connection: asyncpg.Connection, server: Server) -> bool:
        if server.is_fit_for(self._wanted) and self._fit is None:
            self._fit = connection
            return True
        if self._wanted is SessionAttrs.PREFER_STANDBY and self._spare is None:
            self._spare = connection
        else:
            connection.terminate()
        return False


async def _dial(
    target: Target, application_name: str, call_timeout: float, place: Place
) -> tuple[asyncpg.Connection, Server]:
    name = {"application_name": application_name}
    log_in = partial(_log_in, target, place, call_timeout)
    try:
        with anyio.fail_after(target.connect_timeout):
            try:
                settings = name | PROTECTIONS | SERVER_SOCKET
                connection, server = await log_in(asyncpg.Connection, settings)
            except asyncpg.ProtocolViolationError as error:
                if "startup parameter" not in str(error):
                    raise
            else:
                if connection.get_server_pid() == server.process_id:
                    return connection, server
                connection.terminate()
            return await log_in(PooledConnection, name)
    except TimeoutError as error:
        if str(error):
            raise
        raise TimeoutError(f"no answer within {target.connect_timeout:g} s") from error


async def _log_in(
    target: Target,
    place: Place,
    call_timeout: float,
    kind: type[asyncpg.Connection],
    settings: Mapping[str, str],
) -> tuple[asyncpg.Connection, Server]:
    try:
        connection = await _open(target, place, call_timeout, kind, settings)
    except OSError as error:
        if place.is_near or target.far_dsn == target.dsn or not is_refusal(error):
            raise
        raise Unproven(error) from error
    try:
        _keep_alive(connection, target.socket_options)
        # Whether there is a pooler is what we are about to learn: no name, and one transaction.
        async with connection.transaction():
            statement = await connection.prepare(WHAT_IS_IT, name="")
            [row] = await statement.fetch()
        return connection, Server(**row)
    except BaseException:
        connection.terminate()
        raise


async def _open(
    target: Target,
    place: Place,
    call_timeout: float,
    kind: type[asyncpg.Connection],
    settings: Mapping[str, str],
) -> asyncpg.Connection:
    return await asyncpg.connect(
        target.dsn if place.is_near else target.far_dsn,
        host=place.host,
        port=place.port,
        target_session_attrs=SessionAttribute.any,
        timeout=target.connect_timeout,
        command_timeout=call_timeout,
        server_settings=dict(settings),
        connection_class=kind,
        # A named statement stays in a process that a pooler gives to somebody else.
        statement_cache_size=0 if kind is PooledConnection else STATEMENTS_KEPT,
    )


def _keep_alive(connection: asyncpg.Connection, options: SocketOptions) -> None:
    """Have the kernel end a connection whose peer is silent, as without it it would not for hours.

    Keepalives watch over an idle connection, and only over an idle one; TCP_USER_TIMEOUT over one
    whose data nobody acknowledges. A system that has no such option goes without.
    """
    transport = connection._transport  # type: ignore[attr-defined]  # noqa: SLF001 - no public way
    end = transport.get_extra_info("socket")
    if end.family == socket.AF_UNIX:
        return
    end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(options.keepalives > 0))
    values = {"TCP_USER_TIMEOUT": options.tcp_user_timeout}
    if options.keepalives:
        values["TCP_KEEPIDLE"] = options.keepalives_idle
        values["TCP_KEEPINTVL"] = options.keepalives_interval
        values["TCP_KEEPCNT"] = options.keepalives_count
    for name, value in values.items():
        if value and hasattr(socket, name):
            end.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
