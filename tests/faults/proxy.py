"""A TCP proxy in front of a unix socket, whose wire can be cut without anybody being told.

    pass     bytes go on
    stall    bytes stay where they are: no FIN, no RST, and new connections hang
    deaf     server to client, everything but notifications goes on

Missing on purpose: TLS. Its users connect with sslmode=disable.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from enum import StrEnum
from pathlib import Path

import anyio

CHUNK_BYTES = 65_536
NOTIFICATION = b"A"
HEADER_BYTES = 5


class Wire(StrEnum):
    """What becomes of the bytes."""

    PASS = "pass"
    STALL = "stall"
    DEAF = "deaf"


class Proxy:
    """The proxy's wire; `port` is on 127.0.0.1."""

    def __init__(self, target: Path) -> None:
        self.port = 0
        self.target = target
        """Where new connections lead."""
        self.when_answering: Callable[[bytes], bool] | None = None
        """Sees each message of the server; True cuts its connection before the message is out."""
        self._wire = Wire.PASS
        self._open = anyio.Event()
        self._open.set()
        self._server: asyncio.Server | None = None
        self._is_closed = False
        self._writers: set[asyncio.StreamWriter] = set()

    def dsn(self, database: str = "chimeway") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}?sslmode=disable"

    def set(self, wire: Wire) -> None:
        """Change the wire, at once."""
        self._wire = wire
        if wire is Wire.STALL:
            self._open = anyio.Event()
        else:
            self._open.set()

    def reset(self) -> None:
        """Cut every connection, audibly."""
        for writer in list(self._writers):
            writer.transport.abort()

    def close(self) -> None:
        """Be a host that is gone for good: refuse what comes and cut what is there."""
        if self._server is not None:
            self._server.close()
        self._is_closed = True
        self._open.set()
        self.reset()

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self.take, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def take(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        """Carry one connection until it ends."""
        self._writers.add(to_client)
        try:
            await self._open.wait()
            if self._is_closed:
                return
            server, to_server = await asyncio.open_unix_connection(str(self.target))
            self._writers.add(to_server)
            try:
                async with anyio.create_task_group() as ways:
                    ways.start_soon(self._carry, client, to_server, ways.cancel_scope)
                    ways.start_soon(self._answer, server, to_client, ways.cancel_scope)
            finally:
                self._writers.discard(to_server)
                to_server.transport.abort()
        except OSError:
            pass
        finally:
            self._writers.discard(to_client)
            to_client.transport.abort()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, both: anyio.CancelScope
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                await self._open.wait()
                writer.write(data)
                await writer.drain()
        both.cancel()

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, both: anyio.CancelScope
    ) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                message = await _message(reader)
                await self._open.wait()
                if self.when_answering is not None and self.when_answering(message):
                    break
                if self._wire is Wire.DEAF and message.startswith(NOTIFICATION):
                    continue
                writer.write(message)
                await writer.drain()
        both.cancel()


async def _message(reader: asyncio.StreamReader) -> bytes:
    """Read one message. Source: PostgreSQL documentation, "Frontend/Backend Protocol"."""
    header = await reader.readexactly(HEADER_BYTES)
    return header + await reader.readexactly(int.from_bytes(header[1:], "big") - 4)


@asynccontextmanager
async def proxied(target: Path) -> AsyncIterator[Proxy]:
    """Run a proxy for as long as the block."""
    proxy = Proxy(target)
    await proxy.listen()
    try:
        yield proxy
    finally:
        proxy.close()
        # Each connection's own task ends now; the loop must run for that.
        while proxy._writers:  # noqa: ASYNC110 - they end by themselves
            await anyio.sleep(0)
