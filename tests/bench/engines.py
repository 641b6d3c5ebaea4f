"""The engines that are compared: each is filled, started, and asked how much is left."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from bench import environments, processes
from bench.cluster import connected
from bench.environments import Environment
from bench.peers.worker import DSN
from bench.processes import Child

START_SECONDS = 60.0
FILL_SECONDS = 300.0
LOOK_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Load:
    """What an engine is to do: so many jobs, so long each, so many at one time."""

    count: int
    delay_ms: float = 0
    slots: int | None = None
    """None: the engine's own best for jobs that take no time."""


@dataclass(frozen=True, slots=True)
class Drained:
    """From the first call to the last record, or to when time was up; unix seconds."""

    first: float
    last: float
    count: int

    @property
    def rate(self) -> float:
        return self.count / (self.last - self.first)


class Engine(Protocol):
    """An engine that can be installed on this machine."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def setting(self) -> str:
        """How it is tuned, for the report."""
        ...

    @property
    def share(self) -> float:
        """Of a drain: a slow engine's rate is known after fewer jobs."""
        ...

    async def fill(self, dsn: str, count: int) -> None:
        """Install the engine in an empty database and insert so many jobs."""
        ...

    def running(self, dsn: str, load: Load, log: Path) -> AbstractAsyncContextManager[Child]:
        """Run one worker process."""
        ...

    async def drained(self, child: Child, dsn: str, load: Load, seconds: float) -> Drained:
        """Wait until the queue is empty, or for so long after the first call.

        Raises:
            ChildError: nothing was done at all.
        """
        ...


@dataclass(frozen=True, slots=True)
class Peer:
    """An engine of somebody else's, behind the commands of `peers/worker.py`."""

    name: str
    version: str
    setting: str
    share: float
    environment: Environment
    slots: int
    left_statement: str

    async def fill(self, dsn: str, count: int) -> None:
        for command in (["install"], ["fill", f"{count}"]):
            argv = [*self.environment.argv, *command]
            await processes.run(argv, self._variables(dsn), FILL_SECONDS)

    @asynccontextmanager
    async def running(self, dsn: str, load: Load, log: Path) -> AsyncIterator[Child]:
        slots = self.slots if load.slots is None else load.slots
        command = ["work", f"{load.count}", f"{load.delay_ms}", f"{slots}"]
        argv = [*self.environment.argv, *command]
        async with processes.child(argv, self._variables(dsn), log, says=True) as child:
            yield child

    async def drained(self, child: Child, dsn: str, load: Load, seconds: float) -> Drained:
        first = float(await child.line("first", START_SECONDS))
        # Not asked before: counting would take from what is measured.
        with suppress(TimeoutError):
            await child.line("last", first + seconds - time.time())
        async with connected(dsn) as connection:
            while True:
                left: int = await connection.fetchval(self.left_statement)
                now = time.time()
                if not left or now > first + seconds:
                    return Drained(first, now, load.count - left)
                await asyncio.sleep(LOOK_SECONDS)

    def _variables(self, dsn: str) -> dict[str, str]:
        return environments.inherited() | self.environment.variables | {DSN: dsn}


Make: TypeAlias = Callable[[], Coroutine[Any, Any, Peer]]


async def pgqueuer() -> Peer:
    wanted = ("pgqueuer[asyncpg]==1.6.*", "uvloop")
    made = await environments.python("pgqueuer", wanted, (3, 11))
    return Peer(
        "pgqueuer",
        made.version,
        "asyncpg pool of 4, batches of 500, no limit on tasks, uvloop",
        1.0,
        made,
        slots=1000,
        left_statement="select count(*) from pgqueuer",
    )


async def procrastinate() -> Peer:
    wanted = ("procrastinate==3.10.*", "psycopg[binary,pool]", "uvloop")
    made = await environments.python("procrastinate", wanted, (3, 11))
    return Peer(
        "procrastinate",
        made.version,
        "concurrency 10, pool of 4, psycopg in C, uvloop",
        0.03,
        made,
        slots=10,
        left_statement="select count(*) from procrastinate_jobs where status in ('todo', 'doing')",
    )


async def chancy() -> Peer:
    wanted = ("chancy==0.26.*", "psycopg[binary,pool]", "uvloop")
    made = await environments.python("chancy", wanted, (3, 11))
    return Peer(
        "chancy",
        made.version,
        "asyncio executor, concurrency 5000, eager polling, outcomes sent each 50 ms, uvloop",
        0.2,
        made,
        slots=5000,
        left_statement="select count(*) from chancy_jobs where state <> 'succeeded'",
    )


async def oban() -> Peer:
    wanted = ("oban==0.7.*", "psycopg[binary,pool]", "uvloop")
    made = await environments.python("oban", wanted, environments.OLDEST_OF_OBAN)
    return Peer(
        "oban",
        made.version,
        "limit 1000, pool of 4, psycopg in C, uvloop",
        0.3,
        made,
        slots=1000,
        left_statement="select count(*) from oban_jobs where state <> 'completed'",
    )


async def graphile() -> Peer:
    made = await environments.node("graphile-worker", "graphile-worker@0.17")
    return Peer(
        "graphile-worker",
        made.version,
        "24 concurrent jobs, local queue of 500, completions in batches, pool of 10; no history",
        1.0,
        made,
        slots=24,
        left_statement="select count(*) from graphile_worker._private_jobs",
    )


PEERS: dict[str, Make] = {
    "pgqueuer": pgqueuer,
    "graphile-worker": graphile,
    "oban": oban,
    "chancy": chancy,
    "procrastinate": procrastinate,
}
