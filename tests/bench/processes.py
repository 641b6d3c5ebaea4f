"""Child processes that do not outlive the benchmark, and what the kernel counts of them."""

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

STOP_SECONDS = 15.0
PR_SET_PDEATHSIG = 1
TICKS = os.sysconf("SC_CLK_TCK")


class ChildError(Exception):
    """A child process ended badly, or did not do in time what it should."""


class Child:
    """A running process; what it says is kept by the line."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process = process
        self.log = log
        self.pid = process.pid

    async def line(self, word: str, seconds: float) -> str:
        """Wait for a line that begins with `word`; return the rest of it.

        Raises:
            TimeoutError: it did not say so in time.
            ChildError: it ended before.
        """
        assert self.process.stdout is not None
        async with asyncio.timeout(seconds):
            async for line in self.process.stdout:
                first, _, rest = line.decode(errors="replace").strip().partition(" ")
                if first == word:
                    return rest
        raise ChildError(f"ended before it said {word!r}")

    def cpu_seconds(self) -> float:
        """User and system time so far. Source: proc(5), /proc/pid/stat."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def resident_bytes(self) -> int:
        """Memory that is in RAM. Source: proc(5), /proc/pid/statm."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    @property
    def has_ended(self) -> bool:
        return self.process.returncode is not None


@asynccontextmanager
async def child(
    argv: Sequence[str | Path], environment: Mapping[str, str], log: Path, *, says: bool = False
) -> AsyncIterator[Child]:
    """Run a process for as long as the block; `says`: its output is read, and not logged."""
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE if says else output,
            stderr=output,
            env=dict(environment),
            preexec_fn=_die_with_parent,
            start_new_session=True,  # Ctrl-C is for us; we end it in order
        )
    try:
        yield Child(process, log)
    finally:
        await asyncio.shield(_end(process))


async def run(argv: Sequence[str | Path], environment: Mapping[str, str], seconds: float) -> str:
    """Run a command to its end and return what it printed.

    Raises:
        ChildError: it took too long or ended with another status than 0.
    """
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=dict(environment),
        preexec_fn=_die_with_parent,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(seconds):
            output = (await process.communicate())[0].decode(errors="replace")
    except TimeoutError:
        raise ChildError(f"{Path(argv[0]).name} took longer than {seconds:g} s") from None
    finally:
        await asyncio.shield(_end(process))
    if process.returncode:
        last = output.strip().splitlines()[-1:]
        raise ChildError(f"{Path(argv[0]).name} failed: {''.join(last)}")
    return output


async def _end(process: asyncio.subprocess.Process) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    # Its output must flow on, or it may block on a full pipe and never end.
                    await process.communicate()


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
