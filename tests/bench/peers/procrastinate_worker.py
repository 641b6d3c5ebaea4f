"""procrastinate's worker: psycopg pool, one job a fetch, as it is made."""

import asyncio

import uvloop
from procrastinate import App, PsycopgConnector  # type: ignore[import-not-found] # in the peer's environment

from bench.peers.worker import PAYLOAD, Calls, Worker, batches, main

POOL = 4
TASK = "bench"


class Procrastinate(Worker):
    """procrastinate."""

    def _app(self) -> App:
        return App(connector=PsycopgConnector(conninfo=self.dsn, min_size=POOL, max_size=POOL))

    async def install(self) -> None:
        app = self._app()
        async with app.open_async():
            await app.schema_manager.apply_schema_async()

    async def fill(self, count: int) -> None:
        app = self._app()
        async with app.open_async():
            for size in batches(count):
                await app.configure_task(TASK).batch_defer_async(*([PAYLOAD] * size))

    async def work(self, calls: Calls, slots: int) -> None:
        app = self._app()

        async def handle(**_: object) -> None:
            await calls.call()

        app.task(name=TASK)(handle)
        async with app.open_async():
            await app.run_worker_async(concurrency=slots)


if __name__ == "__main__":
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    main(Procrastinate)
