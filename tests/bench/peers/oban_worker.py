"""oban's worker: the Python edition, one queue with many slots, uvloop."""

import asyncio
import signal

import uvloop
from oban import Oban, worker  # type: ignore[import-not-found] # in the peer's environment
from oban.schema import install  # type: ignore[import-not-found] # as above
from psycopg_pool import AsyncConnectionPool  # type: ignore[import-not-found] # as above

from bench.peers.worker import PAYLOAD, Calls, Worker, batches, main

POOL = 4
QUEUE = "bench"
CALLS: list[Calls] = []


class Handle:
    """One job; oban registers it by its name."""

    async def process(self, job: object) -> None:  # noqa: ARG002 - the engine's protocol
        """Do it."""
        await CALLS[0].call()


handled = worker(queue=QUEUE)(Handle)


class ObanWorker(Worker):
    """oban."""

    def _pool(self) -> AsyncConnectionPool:
        return AsyncConnectionPool(self.dsn, min_size=POOL, max_size=POOL, open=False)

    async def install(self) -> None:
        async with self._pool() as pool:
            await install(pool)

    async def fill(self, count: int) -> None:
        async with self._pool() as pool:
            oban = Oban(pool=pool)
            for size in batches(count):
                await oban.enqueue_many(handled.new(PAYLOAD) for _ in range(size))

    async def work(self, calls: Calls, slots: int) -> None:
        CALLS.append(calls)
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        async with self._pool() as pool, Oban(pool=pool, queues={QUEUE: slots}):
            await stop.wait()


if __name__ == "__main__":
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    main(ObanWorker)
