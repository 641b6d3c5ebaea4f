"""A proxy in front of a Postgres that fails as networks do: silently.

    async with proxied(dsn) as proxy:
        …connect to proxy.dsn…
        proxy.set(Flow.STALL)                        # no FIN, no RST, no answer
        proxy.set(Flow.STALL, "chimewayd/listener")  # that session alone
        proxy.set(Flow.PASS)                         # healed: what was held goes on
        proxy.cut("chimewayd/claims")                # closed, on both sides

It listens on a free port of loopback, or in a directory as a server's unix socket. A session is
known by the application_name that it began with.
"""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import anyio

from chimewayd import dsn as dsn_module
from chimewayd.target import Place

UNIX_PORT = 5432
NAME = b"application_name\0"
WAIT_SECONDS = 20.0
CHUNK_BYTES = 65536


End: TypeAlias = tuple[StreamReader, StreamWriter]


class Flow(StrEnum):
    """What happens to bytes on their way."""

    PASS = "pass"
    STALL = "stall"
    """They are held until the flow changes."""
    DROP_REQUESTS = "drop_requests"
    """The client's bytes are lost, the server's pass."""
    DROP_REPLIES = "drop_replies"
    """The server's bytes are lost, the client's pass."""


@dataclass(eq=False, slots=True)
class Link:
    """One session through the proxy."""

    flow: Flow
    name: str | None = None
    end: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    changed: anyio.Event = field(default_factory=anyio.Event)

    def set(self, flow: Flow) -> None:
        self.flow = flow
        changed, self.changed = self.changed, anyio.Event()
        changed.set()

    async def until_flowing(self) -> None:
        while self.flow is Flow.STALL:
            await self.changed.wait()


class Proxy:
    """The running proxy; `dsn` leads through it."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self._flows: dict[str | None, Flow] = {}
        self._links: list[Link] = []
        self._moved = anyio.Event()

    def set(self, flow: Flow, name: str | None = None) -> None:
        """Change the flow of all sessions, or of those with a name; also of later ones.

        Set for all, it replaces what was set for single names.
        """
        if name is None:
            self._flows.clear()
        self._flows[name] = flow
        for link in self.links(name):
            link.set(flow)

    def cut(self, name: str | None = None) -> None:
        """Close all sessions, or those with a name."""
        for link in self.links(name):
            link.end.cancel()

    def links(self, name: str | None = None) -> list[Link]:
        """Return the open sessions, or those with a name."""
        return [link for link in self._links if name in (None, link.name)]

    async def until_open(self, count: int, name: str | None = None) -> None:
        """Wait until so many sessions, or sessions with a name, are open."""
        with anyio.fail_after(WAIT_SECONDS):
            while len(self.links(name)) != count:
                await self._moved.wait()

    async def carry(self, client: End, server: End) -> None:
        """Carry one session until either side ends it."""
        link = Link(self._flows.get(None, Flow.PASS))
        self._links.append(link)
        self._announce()
        try:
            with link.end:
                async with anyio.create_task_group() as both:
                    both.start_soon(self._pump, link, client[0], server[1], Flow.DROP_REQUESTS)
                    both.start_soon(self._pump, link, server[0], client[1], Flow.DROP_REPLIES)
        finally:
            self._links.remove(link)
            self._announce()

    async def _pump(
        self, link: Link, source: StreamReader, sink: StreamWriter, loses: Flow
    ) -> None:
        # uvloop says RuntimeError of a socket that was reset between its last read and this write.
        with suppress(OSError, RuntimeError):
            while chunk := await source.read(CHUNK_BYTES):
                if link.name is None and NAME in chunk:
                    self._learn_name(link, chunk)
                await link.until_flowing()
                if link.flow is not loses:
                    sink.write(chunk)
                    await sink.drain()
        # That a side has ended is held back like anything it said.
        await link.until_flowing()
        link.end.cancel()

    def _learn_name(self, link: Link, chunk: bytes) -> None:
        # Source: PostgreSQL documentation, "Message Formats", StartupMessage.
        link.name = chunk.partition(NAME)[2].partition(b"\0")[0].decode()
        link.set(self._flows.get(link.name, link.flow))
        self._announce()

    def _announce(self) -> None:
        moved, self._moved = self._moved, anyio.Event()
        moved.set()


@asynccontextmanager
async def proxied(dsn: str, directory: Path | None = None) -> AsyncIterator[Proxy]:
    """Run a proxy in front of the first server of a DSN for as long as the context is open."""
    place = dsn_module.parse(dsn, {}).places[0]
    async with anyio.create_task_group() as tasks:

        async def serve(client: End) -> None:
            with closing(client[1]), suppress(OSError):  # if the server is away
                server = await _reach(place)
                with closing(server[1]):
                    await proxy.carry(client, server)

        def accept(reader: StreamReader, writer: StreamWriter) -> None:
            tasks.start_soon(serve, (reader, writer))

        if directory is None:
            listener = await asyncio.start_server(accept, "127.0.0.1", 0)
            host, port = listener.sockets[0].getsockname()
        else:
            host, port = str(directory), UNIX_PORT
            listener = await asyncio.start_unix_server(accept, f"{host}/.s.PGSQL.{port}")
        proxy = Proxy(with_hosts(dsn, Place(host, port)))
        try:
            yield proxy
        finally:
            listener.close()
            tasks.cancel_scope.cancel()


def with_hosts(dsn: str, *places: Place) -> str:
    """Return the DSN of the same database at other places."""
    parts = urlsplit(dsn)
    user = parts.netloc.rpartition("@")[0]
    query = dict(parse_qsl(parts.query)) | {
        "host": ",".join(place.host for place in places),
        "port": ",".join(str(place.port) for place in places),
    }
    return f"{parts.scheme}://{user}@{parts.path}?{urlencode(query, quote_via=quote)}"


async def _reach(place: Place) -> End:
    if place.host.startswith("/"):
        return await asyncio.open_unix_connection(f"{place.host}/.s.PGSQL.{place.port}")
    return await asyncio.open_connection(place.host, place.port)
