"""A relay in a process of its own: says `port N`, then takes whatever mail comes.

It answers at once and knows no more of SMTP than which answer is due: what is measured is the
client.
"""

import asyncio
import sys
from typing import cast

import uvloop

GREETING = b"220 relay\r\n"
ANSWERS = {
    b"EHLO": b"250-relay\r\n250-SIZE 10000000\r\n250 8BITMIME\r\n",
    b"DATA": b"354 go on\r\n",
    b"QUIT": b"221 bye\r\n",
}
OK = b"250 OK\r\n"
END_OF_MAIL = b"\r\n.\r\n"


class Relay(asyncio.Protocol):
    """Answers the commands of one connection."""

    def __init__(self) -> None:
        self._heard = b""
        self._is_in_mail = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(GREETING)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._heard += data
        while (answer := self._answer()) is not None:
            self._transport.write(answer)

    def _answer(self) -> bytes | None:
        end = END_OF_MAIL if self._is_in_mail else b"\r\n"
        said, found, rest = self._heard.partition(end)
        if not found:
            return None
        self._heard = rest
        verb = said[:4].upper()
        if self._is_in_mail:
            self._is_in_mail = False
            return OK
        self._is_in_mail = verb == b"DATA"
        return ANSWERS.get(verb, OK)


async def serve() -> None:
    """Listen on a free port of loopback until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Relay, "127.0.0.1", 0)
    sys.stdout.write(f"port {server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
