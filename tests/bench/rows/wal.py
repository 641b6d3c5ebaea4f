"""Write-ahead log of a delivery from insert to its terminal state, attempt row included."""

from enum import StrEnum

from bench.chimewayd_engine import CHANNEL, DONE, INSERT, SINK, daemon
from bench.cluster import Connection, connected
from bench.run import Run, until

ROW = "wal"
SECONDS = 120.0
SINGLE = f"""
insert into chimeway.deliveries (channel, recipient, payload)
values ('{CHANNEL}', 'user@example.org',
  jsonb_build_object('subject', 'Hello', 'text', repeat('x', 240)))
"""  # noqa: S608 - a name of ours


class Setting(StrEnum):
    """What else is in the log."""

    PLAIN = "one insert of many rows"
    IMAGES = "the same, with full-page images: a checkpoint between insert and delivery"
    SINGLE = "a transaction a row"


async def measure(run: Run) -> None:
    """Deliver some with full-page images set apart, with them, and inserted one by one."""
    for setting in Setting:
        images = "on" if setting is Setting.IMAGES else "off"
        try:
            await run.cluster.configure({"full_page_writes": images})
            bytes_each = await _bytes_each(run, setting)
        finally:
            await run.cluster.configure({"full_page_writes": ""})
        run.figures.add(ROW, setting, "bytes", bytes_each)


async def _bytes_each(run: Run, setting: Setting) -> float:
    count = run.scale.wal_deliveries
    async with run.database(run.ours, 0) as dsn, connected(dsn) as connection:
        begin = await connection.fetchval("select pg_current_wal_insert_lsn()")
        if setting is Setting.SINGLE:
            statement = await connection.prepare(SINGLE)
            for _ in range(count):
                await statement.fetch()
        else:
            await connection.execute(INSERT.replace("$1", f"{count}"))
        if setting is Setting.IMAGES:
            await connection.execute("checkpoint")

        async def all_done() -> bool:
            return bool(await connection.fetchval(DONE) >= count)

        async with daemon(dsn, {CHANNEL: SINK}, run.log):
            await until(all_done, SECONDS)
            return await _bytes_since(connection, begin) / count


async def _bytes_since(connection: Connection, begin: str) -> float:
    written = await connection.fetchval(
        "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), $1::pg_lsn)::float8", begin
    )
    return float(written)
