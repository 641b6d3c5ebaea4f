"""Open the one kind of HTTP session that adapters use: guarded, and sparing of what it trusts.

    host ─▶ look-up ─▶ each address checked ─▶ dialled one checked again ─▶ TLS for the host's name
    literal address ───────────────────────────────────┘

The resolver refuses a name if any of its addresses is denied: an answer that mixes inside and
outside is what DNS rebinding looks like. The socket factory sees what is dialled in the end,
literal addresses too, so that nothing depends on the first look having been the right one.

Missing on purpose: redirects, cookies, proxies of the environment, compressed answers.
"""

import socket
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import TypeAlias

import aiohttp
import anyio
import anyio.to_thread
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import Connection
from yarl import URL

from chimewayd.adapters.address_guard import Network, check
from chimewayd.adapters.http_settings import HttpSettings

# Below the five seconds after which the most impatient servers drop an idle connection: whoever
# closes first decides whether a request meets a dying connection and ends as uncertain.
KEEP_ALIVE_SECONDS = 4.0
LOOK_UPS = 64
"""Look-ups of one channel at one time, of a name each.

A look-up holds its thread until the system gives up, 10 to 30 seconds by glibc's defaults, also if
the call that wanted it has ended long before. So this many names must be silent within that time
to keep the others of the channel waiting. A thread that waits costs tens of KiB; the number has a
bound because service managers bound them too: 512 in our unit, for all channels and processes.
"""

SocketAddress: TypeAlias = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]
AddressInfo: TypeAlias = tuple[
    int | socket.AddressFamily, int | socket.SocketKind, int, str, SocketAddress
]


def open_session(settings: HttpSettings, timeout: timedelta) -> aiohttp.ClientSession:
    """Return a session; whoever opened it closes it. Inside a running event loop only."""
    proxy = URL(settings.proxy.get_secret_value()) if settings.proxy else None
    # A proxy is the operator's own address; what it dials for us, it has to guard itself.
    guard = None if proxy else settings.allow_networks
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            # The daemon's semaphores bound the calls; a second limit would hide waiting in the
            # deadline.
            limit=0,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            resolver=GuardedResolver(guard),
            socket_factory=None if guard is None else partial(_guarded_socket, guard),
            ssl=settings.tls(),
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=time_limits(settings, timeout),
        proxy=proxy,
        trust_env=False,
        # A bomb of a few kilobytes must not become gigabytes of excerpt.
        auto_decompress=False,
        request_class=TrackedRequest,
    )


def time_limits(settings: HttpSettings, timeout: timedelta) -> aiohttp.ClientTimeout:
    """Return how long each part of a request may take, and the whole of it."""
    return aiohttp.ClientTimeout(
        # Zero would be no deadline at all.
        total=max(timeout.total_seconds(), 0.001),
        connect=settings.connect_timeout.total_seconds(),
        sock_read=_seconds(settings.first_byte_timeout),
        # Otherwise it rounds deadlines above five seconds up to the next full second.
        ceil_threshold=float("inf"),
    )


def _guarded_socket(allowed: Sequence[Network], info: AddressInfo) -> socket.socket:
    family, kind, protocol, _, address = info
    check(str(address[0]), allowed)
    return socket.socket(family, kind, protocol)


def _seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else duration.total_seconds()


class TrackedRequest(aiohttp.ClientRequest):
    """A request that knows whether it has begun to leave.

    Not one of aiohttp's traces: they cost a third of a request, for one bit.
    """

    has_left = False

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        self.has_left = True
        return await super().send(conn)


class GuardedResolver(AbstractResolver):
    """Looks names up as the system does, and refuses those that lead inside.

    In threads of its own number: a name server that is silent for one channel must not keep
    the look-ups of another waiting.
    """

    def __init__(self, allowed: Sequence[Network] | None) -> None:
        """Open nothing but `allowed`, or everything where that is None."""
        self._allowed = allowed
        self._threads = anyio.CapacityLimiter(LOOK_UPS)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return every address of a host.

        Raises:
            DestinationDenied: one of them is internal.
            OSError: the name cannot be looked up.
        """
        found = await anyio.to_thread.run_sync(
            _look_up, host, port, family, limiter=self._threads, abandon_on_cancel=True
        )
        if self._allowed is not None:
            for one in found:
                check(one["host"], self._allowed)
        return found

    async def close(self) -> None:
        """Hold nothing that would have to be closed."""


def _look_up(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    infos = socket.getaddrinfo(
        host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
    )
    return [
        ResolveResult(
            hostname=host,
            host=_with_zone(address),
            port=port,
            family=found,
            proto=protocol,
            flags=socket.AI_NUMERICHOST,
        )
        for found, _, protocol, _, address in infos
    ]


def _with_zone(address: SocketAddress) -> str:
    """Keep the zone of a link-local address: without it, it leads nowhere."""
    host, _, *more = address
    zone = more[-1] if more else 0
    return f"{host}%{zone}" if zone else str(host)
