"""A receiver in a process of its own: says `port N`, then answers 204 to whatever comes.

It answers at once and knows no more of HTTP than where a request ends: what is measured is the
client.
"""

import asyncio
import re
import sys
from typing import cast

import uvloop

ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
END_OF_HEAD = b"\r\n\r\n"


class Answerer(asyncio.Protocol):
    """Answers the requests of one connection."""

    def __init__(self) -> None:
        self._heard = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._heard += data
        while (size := self._size()) is not None and len(self._heard) >= size:
            self._heard = self._heard[size:]
            self._transport.write(ANSWER)

    def _size(self) -> int | None:
        end = self._heard.find(END_OF_HEAD)
        if end < 0:
            return None
        found = LENGTH.search(self._heard, 0, end + 2)
        return end + len(END_OF_HEAD) + (int(found[1]) if found else 0)


async def serve() -> None:
    """Listen on a free port of loopback until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Answerer, "127.0.0.1", 0)
    sys.stdout.write(f"port {server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
