"""Several daemons on one database: what they do together, against one alone."""

from contextlib import AsyncExitStack

from bench.chimewayd_engine import CHANNEL, DONE, SPAN, daemon
from bench.cluster import connected
from bench.run import Run, until

ROW = "together"
DAEMONS = (1, 2, 4)
SLOTS = 20
SINK_10_MS = {"adapter": "sink", "settings": {"delay": "10ms"}}
SECONDS = 120.0
PAUSE = "select chimeway.pause_channel($1, 'until all are there', 'bench')"
RESUME = "select chimeway.resume_channel($1, 'bench')"


async def measure(run: Run) -> None:
    """Give each daemon the same share of work, 20 calls of 10 ms at a time: 2,000 a second."""
    for count in DAEMONS:
        run.figures.add(ROW, _name(count), "jobs/s", await _rate(run, count))
    for count in DAEMONS[1:]:
        run.figures.add_ratio(
            ROW, f"{_name(count)} / one", (ROW, _name(count)), (ROW, _name(DAEMONS[0]))
        )


def _name(count: int) -> str:
    return f"{count} daemon{'s' if count > 1 else ''}, {SLOTS} at once each"


async def _rate(run: Run, count: int) -> float:
    jobs = run.scale.drain // 10 * count
    async with (
        run.database(run.ours, jobs) as dsn,
        connected(dsn) as connection,
        AsyncExitStack() as daemons,
    ):
        await connection.execute(PAUSE, CHANNEL)
        for nth in range(count):
            log = run.directory / f"together-{nth}" / "engine.log"
            log.parent.mkdir(exist_ok=True)
            name = f"bench-{nth}"
            running = daemon(dsn, {CHANNEL: SINK_10_MS}, log, SLOTS, name)
            await daemons.enter_async_context(running)
        await connection.execute(RESUME, CHANNEL)

        async def all_are_done() -> bool:
            return bool(await connection.fetchval(DONE) >= jobs)

        await until(all_are_done, SECONDS)
        return jobs / float(await connection.fetchval(SPAN))
