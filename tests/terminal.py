"""Runs `chimewayd` with a terminal for its standard error, as a person does."""

import os
import pty
from collections.abc import Callable

import anyio
import anyio.to_thread
from commands import COMMAND, DEADLINE_SECONDS, clean_environment


def read_to_end(terminal: int, heard: Callable[[str], None] = lambda _: None) -> str:
    """Read what was shown until nobody has the terminal open any more; `heard` gets it so far."""
    shown = b""
    try:
        while some := os.read(terminal, 65536):
            shown += some
            heard(shown.decode(errors="replace"))
    except OSError:  # how Linux says that it is over
        pass
    return shown.decode()


async def on_a_terminal(
    *arguments: str, heard: Callable[[str], None] = lambda _: None
) -> tuple[int, str]:
    """Run a command whose standard error is a terminal; return its status and what it showed.

    `heard` is called, in a thread, with what was shown so far.
    """
    ours, theirs = pty.openpty()
    try:
        with anyio.fail_after(DEADLINE_SECONDS):
            async with await anyio.open_process(
                [str(COMMAND), *arguments],
                stderr=theirs,
                env=clean_environment() | {"TERM": "xterm"},
            ) as process:
                os.close(theirs)
                shown = await anyio.to_thread.run_sync(read_to_end, ours, heard)
                return await process.wait(), shown
    finally:
        os.close(ours)
