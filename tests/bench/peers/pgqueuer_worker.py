"""pgqueuer's worker: asyncpg pool, large batches, uvloop."""

import asyncio
import json
from datetime import timedelta

import asyncpg
import uvloop
from pgqueuer import PgQueuer  # type: ignore[import-not-found] # in the peer's environment
from pgqueuer.db import AsyncpgPoolDriver  # type: ignore[import-not-found] # as above
from pgqueuer.queries import Queries  # type: ignore[import-not-found] # as above

from bench.peers.worker import PAYLOAD, Calls, Worker, batches, main

POOL = 4
BATCH = 500
ENTRYPOINT = "bench"


class Pgqueuer(Worker):
    """pgqueuer."""

    async def install(self) -> None:
        async with asyncpg.create_pool(self.dsn, min_size=1, max_size=POOL) as pool:
            await Queries(AsyncpgPoolDriver(pool)).install()

    async def fill(self, count: int) -> None:
        async with asyncpg.create_pool(self.dsn, min_size=1, max_size=POOL) as pool:
            body = json.dumps(PAYLOAD).encode()
            queries = Queries(AsyncpgPoolDriver(pool))
            for size in batches(count):
                await queries.enqueue([ENTRYPOINT] * size, [body] * size, [0] * size)

    async def work(self, calls: Calls, slots: int) -> None:
        async with asyncpg.create_pool(self.dsn, min_size=POOL, max_size=POOL) as pool:
            queuer = PgQueuer(AsyncpgPoolDriver(pool))

            async def handle(job: object) -> None:  # noqa: ARG001 - the engine's protocol
                await calls.call()

            queuer.entrypoint(ENTRYPOINT)(handle)
            limit = None if slots >= 2 * BATCH else slots
            await queuer.run(
                dequeue_timeout=timedelta(seconds=30),
                batch_size=BATCH if limit is None else max(1, slots // 2),
                max_concurrent_tasks=limit,
            )


if __name__ == "__main__":
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    main(Pgqueuer)
