"""A named pipe that tells when the last process that holds it has died.

A script takes hold with `exec 9>PATH`, and so do its children; it says something there when it
has come to the point of the test. Neither polling nor process numbers are needed.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

WAIT_SECONDS = 10.0


class Lifeline:
    """The test's end of the pipe."""

    def __init__(self, path: Path, reader: asyncio.StreamReader) -> None:
        self.path = path
        self._reader = reader
        # Until a script holds the pipe it must not look as if all had died.
        self._our_end = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    async def line(self) -> str:
        """Wait for what a script says."""
        with anyio.fail_after(WAIT_SECONDS):
            return (await self._reader.readline()).decode().strip()

    async def end(self) -> str:
        """Wait until no process holds the pipe; return what was still in it."""
        self.let_go()
        with anyio.fail_after(WAIT_SECONDS):
            return (await self._reader.read()).decode()

    def let_go(self) -> None:
        """Close our own end."""
        if self._our_end >= 0:
            os.close(self._our_end)
            self._our_end = -1


@asynccontextmanager
async def open_lifeline(path: Path) -> AsyncIterator[Lifeline]:
    """Make the pipe and listen to it for as long as the context is open."""
    os.mkfifo(path)
    reader = asyncio.StreamReader()
    line = Lifeline(path, reader)
    pipe = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), pipe
    )
    try:
        yield line
    finally:
        line.let_go()
        transport.close()
