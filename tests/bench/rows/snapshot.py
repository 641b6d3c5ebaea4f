"""The claim rate while another session holds one snapshot for the whole run."""

import time
from contextlib import closing

from bench.chimewayd_engine import CHANNEL, INSERT, SINK, daemon
from bench.cluster import Connection, connected
from bench.processes import Child, ChildError
from bench.recorded import Recorded
from bench.run import Run

ROW = "snapshot"
BATCH_SECONDS = 120.0


async def measure(run: Run) -> None:
    """Insert a batch, wait until it is drained, and so on; compare the first and last while."""
    async with (
        run.database(run.ours, 0) as dsn,
        connected(dsn) as holder,
        connected(dsn) as producer,
        daemon(dsn, {CHANNEL: SINK}, run.log) as child,
    ):
        await holder.execute("begin isolation level repeatable read")
        await holder.execute("select 1 from chimeway.jobs limit 1")
        with closing(Recorded(run.log)) as recorded:
            rates = await _rates(run, producer, recorded, child)
    window = run.scale.snapshot_window_seconds
    first = _mean([rate for at, rate in rates if at < window])
    last = _mean([rate for at, rate in rates if at >= rates[-1][0] - window])
    run.figures.add(ROW, f"first {window:g} s", "deliveries/s", first)
    run.figures.add(ROW, f"last {window:g} s", "deliveries/s", last)
    run.figures.add(ROW, "last / first", "x", last / first)


async def _rates(
    run: Run, producer: Connection, recorded: Recorded, child: Child
) -> list[tuple[float, float]]:
    """Return when each batch ended and how quickly it was drained. The insert is not counted."""
    batch, begin = run.scale.snapshot_batch, time.monotonic()
    statement = INSERT.replace("$1", f"{batch}")
    rates = []
    while time.monotonic() < begin + run.scale.snapshot_seconds:
        await producer.execute(statement)
        committed = time.time()
        # From the log: any count in the database would walk over what the snapshot keeps.
        if not await recorded.until(recorded.count + batch, child, committed + BATCH_SECONDS):
            raise ChildError(f"{batch} deliveries took longer than {BATCH_SECONDS:g} s")
        rates.append((time.monotonic() - begin, batch / (recorded.last_at - committed)))
    return rates[1:]  # the first warms the statements up


def _mean(rates: list[float]) -> float:
    # Of rates of equal batches the harmonic one: all deliveries by all the time.
    return len(rates) / sum(1 / rate for rate in rates)
