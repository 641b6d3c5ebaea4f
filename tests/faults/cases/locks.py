"""Somebody else's transaction: a lock on the tables, a snapshot that is held."""

import anyio

from faults.cluster import connected
from faults.round import Case, Round

LOCK_SECONDS, LOCK_SECONDS_LONG = 10, 30
SNAPSHOT_SECONDS, SNAPSHOT_SECONDS_LONG = 15, 300
LOCK = "lock table chimeway.deliveries, chimeway.jobs, chimeway.claims in access exclusive mode"
ROW = "select from chimeway.deliveries where status = 'dispatched' limit 1 for update"
ENDED = "select count(*) from chimeway.deliveries where finished_at is not null"


async def locked_tables(round_: Round) -> None:
    """Nothing can be claimed, recorded or extended for a while; leases are longer than that."""
    await round_.daemon()
    await round_.moment()
    await _hold(round_, LOCK, LOCK_SECONDS_LONG if round_.is_long else LOCK_SECONDS)
    round_.recovers_from_now()
    await round_.moment()


async def locked_row(round_: Round) -> None:
    """Somebody holds one row that is under way: nobody else's delivery waits for it."""
    await round_.daemon()
    await round_.moment()
    async with connected(round_.cluster.dsn) as connection:
        before = await connection.fetchval(ENDED)
        await _hold(round_, ROW, LOCK_SECONDS)
        ended = await connection.fetchval(ENDED) - before
    round_.facts["ended while one row was locked"] = ended
    at_least = round_.rate * LOCK_SECONDS / 2
    said = f"{ended} deliveries ended while one row was locked for {LOCK_SECONDS} s"
    round_.expect(ended > at_least, f"{said}, and {at_least:.0f} at least should have")
    round_.recovers_from_now()
    await round_.moment()


async def _hold(round_: Round, statement: str, seconds: float) -> None:
    async with connected(round_.cluster.dsn) as connection:
        await connection.execute("begin")
        await connection.execute(statement)
        await anyio.sleep(seconds)
        await connection.execute("rollback")


async def held_snapshot(round_: Round) -> None:
    """A snapshot older than every delivery is held to the end."""
    connection = await round_.resources.enter_async_context(connected(round_.cluster.dsn))
    await connection.execute("begin isolation level repeatable read")
    await connection.execute("select count(*) from chimeway.deliveries")
    await round_.daemon()
    await anyio.sleep(SNAPSHOT_SECONDS_LONG if round_.is_long else SNAPSHOT_SECONDS)
    round_.recovers_from_now()


CASES = (
    Case(
        "table-lock",
        f"tables locked for {LOCK_SECONDS} s (long: {LOCK_SECONDS_LONG} s)",
        locked_tables,
    ),
    Case("row-lock", f"one row under way locked for {LOCK_SECONDS} s", locked_row),
    Case(
        "snapshot",
        "a snapshot held during the whole run",
        held_snapshot,
        rounds=1,
        long_rounds=1,
        deadline_seconds=500,
    ),
)
