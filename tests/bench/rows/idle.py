"""What an idle daemon costs: transactions in the database, and its own CPU."""

import asyncio
import time

from bench.chimewayd_engine import CHANNEL, SINK, daemon
from bench.cluster import connected
from bench.run import Run

ROW = "idle"
SETTLE_SECONDS = 11.0
"""A session that falls idle may keep its counts to itself for ten."""
COMMITS = """
select xact_commit + xact_rollback from pg_stat_database where datname = $1
"""


async def measure(run: Run) -> None:
    """Look on from another database, so that looking does not count."""
    await run.cluster.configure({"autovacuum": "off"})  # its transactions are not the daemon's
    try:
        async with (
            run.database(run.ours, 0) as dsn,
            connected(run.cluster.dsn) as onlooker,
            daemon(dsn, {CHANNEL: SINK}, run.log, slots=None) as child,
        ):
            name = dsn.rpartition("?")[0].rpartition("/")[2]
            await asyncio.sleep(SETTLE_SECONDS)
            begin, cpu = time.monotonic(), child.cpu_seconds()
            commits = await onlooker.fetchval(COMMITS, name)
            await asyncio.sleep(run.scale.idle_seconds)
            seconds = time.monotonic() - begin
            used = child.cpu_seconds() - cpu
            commits = await onlooker.fetchval(COMMITS, name) - commits
    finally:
        await run.cluster.configure({"autovacuum": ""})
    run.figures.add(ROW, "statements", "queries/s", commits / seconds)
    run.figures.add(ROW, "cpu", "% of a core", 100 * used / seconds)
