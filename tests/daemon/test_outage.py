"""An outage of the database that is longer than the leases, while the daemon lives."""

import anyio
import asyncpg
import databases
import pytest
from engine import Connection, attempts_of, insert
from gated import Gate
from running import WEBHOOK, running

pytestmark = pytest.mark.anyio

CALLS = 5
LEASE_SECONDS = 6
TERMINATE = (
    "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and pid <> $2"
)
OPEN = "select count(*) from chimeway.deliveries where finished_at is null"
WITHIN_SECONDS = 40


async def test_outcomes_that_waited_for_the_database_are_recorded_before_anything_is_rescued(
    dsn: str, postgres: databases.Postgres, connection: Connection, gate: Gate
) -> None:
    """Rescued first, they were lost, and sent again: the daemon raced with itself."""
    name = await connection.fetchval("select current_database()")
    administrator = await asyncpg.connect(postgres.dsn)
    async with running(dsn, {"hooks": WEBHOOK | {"timeout": "1s"}}, lease=f"{LEASE_SECONDS}s"):
        ids = [
            await insert(connection, channel="hooks", recipient=f"{gate.url}/{number}")
            for number in range(CALLS)
        ]
        await gate.until_under_way(CALLS)

        await administrator.execute(f'alter database "{name}" allow_connections false')
        await administrator.execute(TERMINATE, name, connection.get_server_pid())
        gate.open()
        await anyio.sleep(1.5 * LEASE_SECONDS)
        await administrator.execute(f'alter database "{name}" allow_connections true')

        with anyio.fail_after(WITHIN_SECONDS):
            while await connection.fetchval(OPEN):
                await anyio.lowlevel.checkpoint()
    await administrator.close()

    outcomes = [[row["outcome"] for row in await attempts_of(connection, one)] for one in ids]
    assert outcomes == [["succeeded"]] * CALLS
