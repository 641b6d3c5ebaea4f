"""Speaks TLS for a Postgres that was built without: as a server's own, up to the first message.

Source: PostgreSQL documentation, "Message Flow", "SSL Session Encryption".
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio

SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"


@asynccontextmanager
async def terminator(context: ssl.SSLContext, socket_path: str) -> AsyncIterator[int]:
    """Listen on a port of 127.0.0.1 for the server at this socket; yield the port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, EOFError, ssl.SSLError):
            if await reader.readexactly(len(SSL_REQUEST)) == SSL_REQUEST:
                writer.write(b"S")
                await writer.start_tls(context)
                inner_reader, inner_writer = await asyncio.open_unix_connection(socket_path)
                async with anyio.create_task_group() as both:
                    both.start_soon(_pass_on, reader, inner_writer)
                    both.start_soon(_pass_on, inner_reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, ssl.SSLError):
        while chunk := await reader.read(64 * 1024):
            writer.write(chunk)
            await writer.drain()
    writer.close()
