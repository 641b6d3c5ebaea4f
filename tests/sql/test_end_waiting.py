"""end_waiting: a delivery ends together with its job, though a call may end at the same time."""

import asyncpg
import pytest
from engine import Connection, blocked, check_invariants, claim_one, configure, operate, record

pytestmark = pytest.mark.anyio

LOCK = 42
SLOW_TAKE_JOB = f"""
alter function chimeway.take_job(uuid) rename to take_job_at_once;

create function chimeway.take_job(p_delivery_id uuid)
returns boolean
language plpgsql
as $$
declare
  v_had constant boolean := chimeway.take_job_at_once(p_delivery_id);
begin
  perform pg_advisory_xact_lock({LOCK});
  return v_had;
end
$$;
"""


async def test_cancel_takes_the_retry_that_was_queued_while_it_looked(
    migrated: Connection, empty_dsn: str
) -> None:
    # No lock makes a cancel wait between its two looks: a take_job of ours does.
    await migrated.execute(SLOW_TAKE_JOB)
    await configure(migrated)
    delivery = await claim_one(migrated)
    await migrated.execute("select pg_advisory_lock($1)", LOCK)
    operator = await asyncpg.connect(empty_dsn)

    async with blocked(
        migrated, operator, lambda: operate(operator, "cancel", delivery.delivery_id, "why", "ops")
    ) as answers:
        await record(migrated, delivery, "temporary")
        await migrated.execute("select pg_advisory_unlock($1)", LOCK)

    await operator.close()
    assert answers[0]["status"] == "cancelled"
    await check_invariants(migrated)
