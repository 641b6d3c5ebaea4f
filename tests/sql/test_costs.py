"""What the way of a delivery costs: index scans only, heap-only updates, little log."""

from collections.abc import Sequence

import pytest
from engine import Connection, claim, claim_one, configure, insert, operate, record_all

from chimewayd.models import Delivery

pytestmark = pytest.mark.anyio

BATCH = 100
FILLED = 5_000

COUNTERS = """
select relname, seq_scan, coalesce(idx_tup_fetch, 0) + seq_tup_read as rows_touched
from pg_stat_user_tables
where schemaname = 'chimeway' and relname in ('deliveries', 'jobs', 'claims', 'delivery_attempts')
"""
HOT_SHARE = """
select n_tup_hot_upd::float / n_tup_upd
from pg_stat_user_tables
where schemaname = 'chimeway' and relname = 'deliveries' and n_tup_upd > 0
"""


@pytest.fixture(autouse=True)
async def channel(unchecked: Connection) -> None:
    """Configure channel email."""
    await configure(unchecked)


async def fill(connection: Connection, rows: int) -> None:
    await connection.execute(
        "insert into chimeway.deliveries (channel, recipient, payload) "
        "select 'email', 'ada' || n || '@example.org', "
        "  jsonb_build_object('subject', 'Hello', 'text', repeat('x', 240)) "
        "from generate_series(1, $1::integer) as n",
        rows,
    )


async def bloat(connection: Connection, rows: int) -> None:
    """Leave so many dead rows at the head of the queue."""
    await fill(connection, rows)
    await connection.execute("delete from chimeway.jobs")
    await connection.execute("delete from chimeway.deliveries where status = 'pending'")


async def counters(connection: Connection) -> dict[str, tuple[int, int]]:
    await connection.execute("select pg_stat_force_next_flush()")
    await connection.execute("select pg_stat_clear_snapshot()")
    return {row[0]: (row[1], row[2]) for row in await connection.fetch(COUNTERS)}


async def send(connection: Connection, deliveries: Sequence[Delivery]) -> None:
    await record_all(connection, [(delivery, "succeeded") for delivery in deliveries])


@pytest.mark.parametrize("queue", ["empty", "filled", "bloated"])
@pytest.mark.parametrize("statistics", ["of an emptied table", "of an empty table", "fresh"])
@pytest.mark.parametrize("ending", ["succeeded", "temporary", "permanent"])
async def test_no_step_of_a_delivery_scans_a_table(
    connection: Connection, queue: str, statistics: str, ending: str
) -> None:
    tables = "chimeway.deliveries, chimeway.jobs, chimeway.claims, chimeway.delivery_attempts"
    if statistics == "of an emptied table":
        await bloat(connection, BATCH)
    await connection.execute(f"analyze {tables}")
    # The session's plans are made here, while there is next to nothing.
    await send(connection, [await claim_one(connection)])
    await operate(connection, "cancel", await insert(connection), "not wanted", "ops")
    if queue == "bloated":
        await bloat(connection, FILLED)  # as many as will wait behind them
    await fill(connection, BATCH if queue == "empty" else FILLED)
    if statistics == "fresh":
        await connection.execute(f"analyze {tables}")
    # The first claim leaves what vacuum would: it must not be paid for again and again.
    await send(connection, await claim(connection, slots=1))
    before = await counters(connection)

    claimed = await claim(connection, slots=BATCH)
    await record_all(connection, [(delivery, ending) for delivery in claimed])
    await connection.fetch("select chimeway.next_due(array['email'], true)")
    waiting = await insert(connection)
    await operate(connection, "cancel", waiting, "not wanted", "ops")
    await connection.fetch("select * from chimeway.explain($1)", waiting)

    after = await counters(connection)
    assert len(claimed) == BATCH - (queue == "empty")
    for table, (scans, rows) in after.items():
        scanned, touched = before.get(table, (0, 0))
        assert scans == scanned, table
        assert rows - touched <= 5 * BATCH, table


async def test_changes_of_state_are_heap_only_updates(connection: Connection) -> None:
    await connection.execute("select pg_stat_force_next_flush()")
    await connection.execute(
        "select pg_stat_reset_single_table_counters('chimeway.deliveries'::regclass)"
    )
    await fill(connection, 20 * BATCH)

    while claimed := await claim(connection, slots=BATCH):
        await send(connection, claimed)

    await connection.execute("select pg_stat_force_next_flush()")
    await connection.execute("select pg_stat_clear_snapshot()")
    assert await connection.fetchval(HOT_SHARE) >= 0.95


async def test_way_of_a_delivery_writes_little_log(connection: Connection) -> None:
    rows = 20 * BATCH
    begin = await connection.fetchval("select pg_current_wal_insert_lsn()")

    await fill(connection, rows)
    while claimed := await claim(connection, slots=BATCH):
        await send(connection, claimed)

    written = await connection.fetchval(
        "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), $1)", begin
    )
    # Full-page images after a checkpoint are set apart: the embedded server writes none.
    if await connection.fetchval("show full_page_writes") == "off":
        assert written / rows <= 1600
