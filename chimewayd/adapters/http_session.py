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
from typing import TypeAlias

import aiohttp
import anyio
import anyio.to_thread
from aiohttp.abc import AbstractResolver, ResolveResult
from pydantic import Field, IPvAnyNetwork, field_validator

from chimewayd.adapters.address_guard import Network, check, refuse_opening
from chimewayd.adapters.base import AdapterSettings
from chimewayd.durations import Duration

# Below the five seconds after which the most impatient servers drop an idle connection: whoever
# closes first decides whether a request meets a dying connection and ends as uncertain.
KEEP_ALIVE_SECONDS = 4.0
LOOK_UPS = 8
"""Look-ups of one channel at one time: each holds a thread until the name server answers."""

SocketAddress: TypeAlias = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]
AddressInfo: TypeAlias = tuple[
    int | socket.AddressFamily, int | socket.SocketKind, int, str, SocketAddress
]


class HttpSettings(AdapterSettings):
    """Settings that every adapter has that speaks HTTP."""

    connect_timeout: Duration = Field(
        default=timedelta(seconds=5), gt=timedelta(), description="a duration above zero, as in 5s"
    )
    allow_networks: tuple[IPvAnyNetwork, ...] = Field(
        default=(),
        description="internal networks that may be called all the same, as in 10.1.0.0/16",
    )

    @field_validator("allow_networks")
    @classmethod
    def _open_internal_networks(cls, networks: tuple[Network, ...]) -> tuple[Network, ...]:
        for network in networks:
            refuse_opening(network)
        return networks


def open_session(
    settings: HttpSettings, timeout: timedelta, tracing: aiohttp.TraceConfig
) -> aiohttp.ClientSession:
    """Return a session; whoever opened it closes it. Inside a running event loop only."""
    allowed = settings.allow_networks

    def guarded_socket(info: AddressInfo) -> socket.socket:
        family, kind, protocol, _, address = info
        check(str(address[0]), allowed)
        return socket.socket(family, kind, protocol)

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            # The daemon's semaphores bound the calls; a second limit would hide waiting in the
            # deadline.
            limit=0,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            resolver=GuardedResolver(allowed),
            socket_factory=guarded_socket,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(
            total=timeout.total_seconds(),
            connect=settings.connect_timeout.total_seconds(),
            # Otherwise it rounds deadlines above five seconds up to the next full second.
            ceil_threshold=float("inf"),
        ),
        trust_env=False,
        # A bomb of a few kilobytes must not become gigabytes of excerpt.
        auto_decompress=False,
        trace_configs=[tracing],
        middlewares=(once,),
    )


class ConnectionLost(aiohttp.ClientError):
    """The connection broke after the request began."""


async def once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep aiohttp from repeating a PUT by itself when a kept-alive connection breaks."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise ConnectionLost from error


class GuardedResolver(AbstractResolver):
    """Looks names up as the system does, and refuses those that lead inside.

    In threads of its own number: a name server that is silent for one channel must not keep
    the look-ups of another waiting.
    """

    def __init__(self, allowed: Sequence[Network]) -> None:
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
