"""recent_attempts: what ended lately, found without a walk over history."""

from datetime import UTC, datetime, timedelta

import pytest
from engine import Connection, configure, ended

pytestmark = pytest.mark.anyio

HISTORY = """
insert into chimeway.delivery_attempts
  (delivery_id, attempt_number, series, claim_id, finished_at, outcome, daemon_name)
select gen_random_uuid(), 1, 1, 1, now() - make_interval(secs => 100000 - n), 'succeeded', 'd1'
from generate_series(1, 30000) as n
"""
READ = """
select coalesce(seq_scan, 0), coalesce(idx_tup_fetch, 0) from pg_stat_xact_user_tables
where relid = 'chimeway.delivery_attempts'::regclass
"""


async def test_a_look_reads_no_history(unchecked: Connection) -> None:
    await configure(unchecked)
    await unchecked.execute(HISTORY)
    # Other tests leave their summaries behind.
    await unchecked.execute("reindex index chimeway.delivery_attempts_finished_at")
    await ended(unchecked, "succeeded")
    since = datetime.now(UTC) - timedelta(minutes=5)

    async with unchecked.transaction():
        before = await unchecked.fetchrow(READ)
        rows = await unchecked.fetch("select * from chimeway.recent_attempts($1, 10)", since)
        after = await unchecked.fetchrow(READ)

    assert before is not None
    assert after is not None
    assert len(rows) == 1
    assert after[0] == before[0]
    # A summary covers 32 pages of some 70 rows.
    assert after[1] - before[1] < 2 * 32 * 70


async def test_attempts_come_newest_first_and_no_more_than_asked_for(
    connection: Connection,
) -> None:
    await configure(connection)
    ids = [await ended(connection, "succeeded") for _ in range(3)]
    since = datetime.now(UTC) - timedelta(minutes=5)

    rows = await connection.fetch("select * from chimeway.recent_attempts($1, 2)", since)

    assert [row["delivery_id"] for row in rows] == ids[:0:-1]
