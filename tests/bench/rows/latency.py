"""From a commit to the call, on an otherwise idle system: 100 single inserts a second."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from statistics import quantiles
from uuid import UUID

from aiohttp import web

from bench.chimewayd_engine import CHANNEL, DONE, SINK, daemon
from bench.cluster import Connection, connected
from bench.run import Run, until

ROW = "latency"
RATE = 100
WARM_UP = 50
WAIT_SECONDS = 30.0
INSERT = f"""
insert into chimeway.deliveries (channel, recipient, payload)
values ('{CHANNEL}', $1, '{{"subject": "Hello"}}')
returning id
"""  # noqa: S608 - a name of ours
STARTED = """
select delivery_id, extract(epoch from started_at)::float8 from chimeway.delivery_attempts
"""


async def measure(run: Run) -> None:
    """Once with the sink, where the attempt says when it began, and once over HTTP."""
    await _sink(run)
    await _webhook(run)


async def _sink(run: Run) -> None:
    async with (
        run.database(run.ours, 0) as dsn,
        connected(dsn) as connection,
        daemon(dsn, {CHANNEL: SINK}, run.log, slots=None),
    ):
        committed = await _insert(run, connection, "ada@example.org")
        # The stamp is the database's clock, taken when the outcome is recorded, less the age that
        # the daemon gives: it is late by the way to the database, never early.
        started: dict[UUID, float] = dict(list(map(tuple, await connection.fetch(STARTED))))
    _add(run, "adapter entered", [started[one] - at for one, at in committed.items()])


async def _webhook(run: Run) -> None:
    arrived: dict[UUID, float] = {}
    channel = {"adapter": "webhook", "settings": {"allow_networks": ["127.0.0.0/8"]}}
    async with (
        _receiver(arrived) as url,
        run.database(run.ours, 0) as dsn,
        connected(dsn) as connection,
        daemon(dsn, {CHANNEL: channel}, run.log, slots=None),
    ):
        committed = await _insert(run, connection, url)
    _add(run, "webhook received", [arrived[one] - at for one, at in committed.items()])


def _add(run: Run, name: str, seconds: list[float]) -> None:
    hundredths = quantiles(sorted(seconds), n=100)
    run.figures.add(ROW, f"{name}, p50", "ms", hundredths[49] * 1000)
    run.figures.add(ROW, f"{name}, p99", "ms", hundredths[98] * 1000)


async def _insert(run: Run, connection: Connection, recipient: str) -> Mapping[UUID, float]:
    """Insert at a steady rate until time is up; return when each commit was heard of."""
    statement = await connection.prepare(INSERT)
    count = int(run.scale.latency_seconds * RATE) + WARM_UP
    committed: dict[UUID, float] = {}
    begin = time.monotonic()
    for nth in range(count):
        await asyncio.sleep(max(0.0, begin + nth / RATE - time.monotonic()))
        delivery_id = await statement.fetchval(recipient)
        if nth >= WARM_UP:
            committed[delivery_id] = time.time()

    async def all_done() -> bool:
        return bool(await connection.fetchval(DONE) >= count)

    await until(all_done, WAIT_SECONDS)
    return committed


@asynccontextmanager
async def _receiver(arrived: dict[UUID, float]) -> AsyncIterator[str]:
    """Receive webhooks on loopback; the header webhook-id is the delivery's id."""

    async def receive(request: web.Request) -> web.Response:
        arrived.setdefault(UUID(request.headers["webhook-id"]), time.time())
        await request.read()
        return web.Response(status=204)

    application = web.Application()
    application.router.add_post("/", receive)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}/"
    finally:
        await runner.cleanup()
