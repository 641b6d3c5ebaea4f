"""Runs a command that goes on until it is stopped, and reads what it prints line by line."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from signal import SIGINT

import anyio
import anyio.abc
from anyio.streams.buffered import BufferedByteReceiveStream
from commands import COMMAND, DEADLINE_SECONDS, clean_environment


class Watcher:
    """The running command."""

    def __init__(self, process: anyio.abc.Process) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self._stdout = BufferedByteReceiveStream(process.stdout)
        self._stderr = BufferedByteReceiveStream(process.stderr)

    async def line(self) -> str:
        """Wait for the next line of standard output."""
        return await _line(self._stdout)

    async def complaint(self) -> str:
        """Wait for the next line of standard error."""
        return await _line(self._stderr)

    async def interrupt(self) -> int:
        """Press Ctrl-C and wait for the exit status."""
        self._process.send_signal(SIGINT)
        with anyio.fail_after(DEADLINE_SECONDS):
            return await self._process.wait()


@asynccontextmanager
async def watching(*arguments: str) -> AsyncIterator[Watcher]:
    """Run the command; it is gone when the context is left."""
    process = await anyio.open_process([str(COMMAND), *arguments], env=clean_environment())
    try:
        yield Watcher(process)
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                process.kill()
            await process.aclose()


async def _line(stream: BufferedByteReceiveStream) -> str:
    with anyio.fail_after(DEADLINE_SECONDS):
        return (await stream.receive_until(b"\n", 100_000)).decode()
