"""One run: what the rows work with."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.chimewayd_engine import Chimewayd
from bench.cluster import Cluster
from bench.engines import Engine
from bench.figures import Figures
from bench.scale import Scale

LOOK_SECONDS = 0.02


@dataclass(slots=True)
class Run:
    """The server, the sizes, the engines that are there, and what was found so far."""

    cluster: Cluster
    scale: Scale
    directory: Path
    """For logs; thrown away."""
    peers: Sequence[Engine] = ()
    figures: Figures = field(default_factory=Figures)
    ours: Chimewayd = field(default_factory=Chimewayd)

    @property
    def log(self) -> Path:
        return self.directory / "engine.log"

    @asynccontextmanager
    async def database(self, engine: Engine, count: int) -> AsyncIterator[str]:
        """Yield the DSN of a fresh database of the engine with so many jobs waiting."""

        async def fill(dsn: str) -> None:
            await engine.fill(dsn, count)

        template = await self.cluster.template(f"{engine.name} {count}", fill)
        async with self.cluster.database(template) as dsn:
            yield dsn


async def until(is_so: Callable[[], Awaitable[bool]], seconds: float) -> float:
    """Ask until it is so; return when that was, in unix seconds.

    Raises:
        TimeoutError: it was not so in time.
    """
    async with asyncio.timeout(seconds):
        while not await is_so():  # noqa: ASYNC110 - what changes is in a database
            await asyncio.sleep(LOOK_SECONDS)
    return time.time()


def tell(text: str) -> None:
    """Say on standard error how far the run is."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
