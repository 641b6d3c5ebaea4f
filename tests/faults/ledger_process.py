"""The receiver's process: `python -m faults.ledger_process FILE`.

Each request is a line of the file before it is answered. The path says how it is answered, and
`times` for how many calls of the same delivery; after them it answers 200.
"""

import asyncio
import os
import socket
import struct
import sys
import time
from collections import Counter
from contextlib import suppress
from enum import StrEnum
from typing import assert_never
from urllib.parse import parse_qs, urlsplit

HEAD_LIMIT_BYTES = 65_536
BACKLOG = 1000
HUGE_BYTES = 10_000_000_000
CHUNK = b"x" * 65_536
NO_LINGER = struct.pack("ii", 1, 0)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
HUGE = f"HTTP/1.1 200 OK\r\nContent-Length: {HUGE_BYTES}\r\n\r\n".encode()
GARBAGE = b"\x00\xff\x16\x03 these are no words of HTTP \r\n\r\n"


class Behaviour(StrEnum):
    """How a path answers; /slow takes `ms`."""

    OK = "ok"
    SLOW = "slow"
    BUSY = "busy"
    HANG = "hang"
    HANG_IN_BODY = "hang_in_body"
    RESET = "reset"
    CLOSE = "close"
    DRIP = "drip"
    GARBAGE = "garbage"
    HUGE = "huge"


ANSWERS = {
    Behaviour.OK: OK,
    Behaviour.BUSY: BUSY,
    Behaviour.GARBAGE: GARBAGE,
    Behaviour.HANG_IN_BODY: HALF,
    Behaviour.HUGE: HUGE,
}
GOES_ON = {Behaviour.OK, Behaviour.SLOW, Behaviour.BUSY}
"""After these the connection is kept."""


class Receiver:
    """Writes down and answers."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._calls: Counter[str] = Counter()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection until it ends."""
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                first, *lines = head.split("\r\n")
                headers = dict(line.lower().split(": ", 1) for line in lines if ": " in line)
                self._write_down(headers["webhook-id"], first.split()[1])
                await reader.readexactly(int(headers.get("content-length", "0")))
                if not await self._answer(headers["webhook-id"], first.split()[1], writer):
                    break
        writer.close()

    def _write_down(self, delivery_id: str, path: str) -> None:
        os.write(self._file, f"{time.time():.6f} {delivery_id} {path}\n".encode())
        self._calls[delivery_id] += 1

    async def _answer(self, delivery_id: str, target: str, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; return whether the connection goes on."""
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        behaviour = Behaviour(parts.path.strip("/"))
        if self._calls[delivery_id] > int(query.get("times", "1000000000")):
            behaviour = Behaviour.OK
        if behaviour in ANSWERS:
            writer.write(ANSWERS[behaviour])
            await writer.drain()
        await _misbehave(behaviour, int(query.get("ms", "0")), writer)
        return behaviour in GOES_ON


async def _misbehave(behaviour: Behaviour, ms: int, writer: asyncio.StreamWriter) -> None:
    match behaviour:
        case Behaviour.OK | Behaviour.BUSY | Behaviour.CLOSE | Behaviour.GARBAGE:
            pass
        case Behaviour.SLOW:
            await asyncio.sleep(ms / 1000)
            writer.write(OK)
        case Behaviour.HANG | Behaviour.HANG_IN_BODY:
            await _until_gone(writer)
        case Behaviour.RESET:
            connection = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
            writer.transport.abort()
        case Behaviour.DRIP:
            for byte in OK:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(1)
        case Behaviour.HUGE:
            for _ in range(HUGE_BYTES // len(CHUNK)):
                writer.write(CHUNK)
                await writer.drain()
        case _:
            assert_never(behaviour)


async def _until_gone(writer: asyncio.StreamWriter) -> None:
    while not writer.transport.is_closing():  # noqa: ASYNC110 - a transport is no event
        await asyncio.sleep(0.05)


async def main(path: str) -> None:
    """Serve until killed; say first which ports answer, take no notice, and refuse."""
    receiver = Receiver(path)
    server = await asyncio.start_server(
        receiver.serve, "127.0.0.1", 0, backlog=BACKLOG, limit=HEAD_LIMIT_BYTES
    )
    deaf, closed = socket.socket(), socket.socket()
    for unanswered in (deaf, closed):
        unanswered.bind(("127.0.0.1", 0))
    deaf.listen(BACKLOG)  # the kernel takes the calls, and nobody picks them up
    ports = [server.sockets[0].getsockname()[1], deaf.getsockname()[1], closed.getsockname()[1]]
    sys.stdout.write(f"ports {ports[0]} {ports[1]} {ports[2]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
