"""chancy's worker: the asyncio executor with many slots, polling at once after each job."""

import asyncio
import importlib

import uvloop
from chancy import Chancy, Queue, job  # type: ignore[import-not-found] # in the peer's environment
from chancy import Worker as Process

from bench.peers.worker import PAYLOAD, Calls, Worker, batches, main

QUEUE = "bench"
CALLS: list[Calls] = []


@job(queue=QUEUE)  # type: ignore[untyped-decorator] # as above
async def handle(**_: object) -> None:
    """Do one job; chancy finds it by its import path."""
    await CALLS[0].call()


class ChancyWorker(Worker):
    """chancy."""

    async def install(self) -> None:
        async with Chancy(self.dsn) as chancy:
            await chancy.migrate()

    async def fill(self, count: int) -> None:
        async with Chancy(self.dsn) as chancy:
            filled = handle.job.with_kwargs(**PAYLOAD)
            for size in batches(count):
                async for _ in chancy.push_many([filled] * size):
                    pass

    async def work(self, calls: Calls, slots: int) -> None:
        CALLS.append(calls)
        queue = Queue(
            QUEUE,
            concurrency=slots,
            executor="chancy.executors.asyncex.AsyncExecutor",
            polling_interval=1,
            eager_polling=True,
        )
        async with Chancy(self.dsn) as chancy:
            await chancy.declare(queue, upsert=True)
            async with Process(chancy) as process:
                process.send_outgoing_interval = 0.05
                await process.wait_for_shutdown()


if __name__ == "__main__":
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    # Jobs name their function by its module: __main__ would be another one.
    main(importlib.import_module("bench.peers.chancy_worker").ChancyWorker)
