"""The claim rate with millions waiting, against ten thousand."""

from bench.chimewayd_engine import CHANNEL, INSERT, SINK, daemon
from bench.cluster import Connection, connected
from bench.run import Run, until

ROW = "backlog"
FEW = 10_000
INSERTED = 100_000
SECONDS = 120.0
MEASURED = 10_000
MIB = 1024 * 1024
RECORDED = "select coalesce(sum(count), 0) >= $1 from chimeway.tallies"
SPAN = """
select extract(epoch from max(d.finished_at) - min(a.started_at))::float8
from (
  select started_at, delivery_id from chimeway.delivery_attempts order by started_at limit $1
) as a
join chimeway.deliveries as d on d.id = a.delivery_id
"""


async def measure(run: Run) -> None:
    """Let a fresh daemon take the first ten thousand of each, in turns."""
    many = run.scale.backlog
    async with run.database(run.ours, 0) as full:
        await _fill(full, many)
        for _ in range(run.scale.backlog_rounds):
            async with run.database(run.ours, FEW) as dsn:
                await _take(run, dsn, FEW)
            await _take(run, full, many)
            run.figures.add_ratio(
                ROW, "many / few", (ROW, f"{many:,} waiting"), (ROW, f"{FEW:,} waiting")
            )


async def _fill(dsn: str, count: int) -> None:
    async with connected(dsn) as connection:
        for begin in range(0, count, INSERTED):
            await connection.execute(INSERT.replace("$1", f"{min(INSERTED, count - begin)}"))
        await connection.execute("vacuum analyze")
        await connection.execute("checkpoint")


async def _take(run: Run, dsn: str, waiting: int) -> None:
    async with connected(dsn) as connection:
        await connection.execute("truncate chimeway.delivery_attempts, chimeway.tallies")
        async with daemon(dsn, {CHANNEL: SINK}, run.log) as child:

            async def has_done_them() -> bool:
                return bool(await connection.fetchval(RECORDED, MEASURED))

            await until(has_done_them, SECONDS)
            resident = child.resident_bytes() / MIB
        run.figures.add(ROW, f"{waiting:,} waiting, resident", "MiB", resident)
        run.figures.add(ROW, f"{waiting:,} waiting", "deliveries/s", await _first(connection))


async def _first(connection: Connection) -> float:
    seconds = await connection.fetchval(SPAN, MEASURED)
    return MEASURED / float(seconds)
