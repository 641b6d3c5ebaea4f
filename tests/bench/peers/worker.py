"""What every peer's worker script does: `install`, `fill COUNT`, or `work COUNT DELAY_MS SLOTS`.

    work ─▶ "first <unix seconds>" at the first call ─▶ "last <unix seconds>" at call COUNT

It runs in the peer's environment and imports nothing but the standard library.
"""

import asyncio
import os
import sys
import time
from abc import ABC, abstractmethod

DSN = "BENCH_DSN"
FILL_BATCH = 5_000
PAYLOAD = {"subject": "Hello", "text": "x" * 240}
"""The same for every engine, ours included: 0.3 kB."""


class Calls:
    """The job of every engine: count, and take as long as was asked for."""

    def __init__(self, expected: int, delay_ms: float) -> None:
        self.expected = expected
        self.delay_seconds = delay_ms / 1000
        self.count = 0

    async def call(self) -> None:
        """Do one job."""
        if not self.count:
            _say("first")
        self.count += 1
        if self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)
        if self.count == self.expected:
            _say("last")


class Worker(ABC):
    """One engine: how it is installed, filled and run."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    @abstractmethod
    async def install(self) -> None:
        """Make the engine's tables in an empty database."""

    @abstractmethod
    async def fill(self, count: int) -> None:
        """Insert so many jobs that are due."""

    @abstractmethod
    async def work(self, calls: Calls, slots: int) -> None:
        """Do jobs until a signal ends the process."""


def batches(count: int) -> list[int]:
    """Cut a number of jobs into batches."""
    whole, rest = divmod(count, FILL_BATCH)
    return [FILL_BATCH] * whole + ([rest] if rest else [])


def main(kind: type[Worker]) -> None:
    """Do what the command line says."""
    asyncio.run(_main(kind(os.environ[DSN]), sys.argv[1:]))


async def _main(worker: Worker, arguments: list[str]) -> None:
    match arguments:
        case ["install"]:
            await worker.install()
        case ["fill", count]:
            await worker.fill(int(count))
        case ["work", count, delay_ms, slots]:
            await worker.work(Calls(int(count), float(delay_ms)), int(slots))
        case _:
            raise SystemExit(f"{arguments}: install | fill COUNT | work COUNT DELAY_MS SLOTS")


def _say(what: str) -> None:
    sys.stdout.write(f"{what} {time.time()}\n")
    sys.stdout.flush()
