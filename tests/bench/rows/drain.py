"""Drain of no-ops that were inserted beforehand: jobs a second, first call to last record."""

import time

from bench.engines import Engine, Load
from bench.run import Run, tell

ROW = "drain"
LEAST = 1_000


async def measure(run: Run) -> None:
    """Drain once with each engine."""
    for engine in (run.ours, *run.peers):
        load = Load(max(LEAST, int(run.scale.drain * engine.share)))
        begin = time.monotonic()
        try:
            rate = await drain(run, engine, load)
        except Exception as error:  # noqa: BLE001 - one engine's trouble is a line in the table
            run.figures.miss(ROW, engine.name, f"{type(error).__name__}: {error}")
            tell(f"  {engine.name}: {error!r}")
        else:
            run.figures.add(ROW, engine.name, "jobs/s", rate)
            tell(f"  {engine.name}: {rate:,.0f} jobs/s, {time.monotonic() - begin:.1f} s in all")
    for peer in run.peers:
        run.figures.add_ratio(ROW, f"chimewayd / {peer.name}", (ROW, "chimewayd"), (ROW, peer.name))


async def drain(run: Run, engine: Engine, load: Load) -> float:
    """Run one worker process until the queue is empty or time is up; return jobs a second."""
    async with (
        run.database(engine, load.count) as dsn,
        engine.running(dsn, load, run.log) as child,
    ):
        return (await engine.drained(child, dsn, load, run.scale.drain_seconds)).rate
