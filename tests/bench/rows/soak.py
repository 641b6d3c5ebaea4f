"""Memory of the daemon at a steady load."""

import asyncio
import time
from statistics import linear_regression

from bench.chimewayd_engine import CHANNEL, INSERT, SINK, daemon
from bench.cluster import connected
from bench.run import Run

ROW = "soak"
INSERTS_PER_SECOND = 10
ROWS_PER_INSERT = 100
MIB = 1024 * 1024


async def measure(run: Run) -> None:
    """Deliver 1,000 a second and watch the resident memory; the first half is settling in."""
    sizes: list[tuple[float, float]] = []
    async with (
        run.database(run.ours, 0) as dsn,
        connected(dsn) as connection,
        daemon(dsn, {CHANNEL: SINK}, run.log) as child,
    ):
        insert = INSERT.replace("$1", f"{ROWS_PER_INSERT}")
        begin = time.monotonic()
        for nth in range(int(run.scale.soak_seconds * INSERTS_PER_SECOND)):
            await asyncio.sleep(max(0.0, begin + nth / INSERTS_PER_SECOND - time.monotonic()))
            await connection.execute(insert)
            if nth % INSERTS_PER_SECOND == 0:
                sizes.append((time.monotonic() - begin, child.resident_bytes() / MIB))
    half = sizes[len(sizes) // 2 :]
    slope = linear_regression(*zip(*half, strict=True)).slope
    grown = slope * (half[-1][0] - half[0][0])
    run.figures.add(ROW, "resident at the end", "MiB", sizes[-1][1])
    run.figures.add(ROW, "slope over the second half", "MiB/min", slope * 60)
    run.figures.add(ROW, "growth over the second half", "%", 100 * grown / half[0][1])
