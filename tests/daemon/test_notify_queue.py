"""Somebody listens in a transaction that does not end, until the server's queue is full."""

import os
from collections.abc import AsyncIterator
from contextlib import suppress

import anyio
import asyncpg
import databases
import pytest
from engine import insert
from running import WEBHOOK, running

from chimewayd import embedded, migrate
from chimewayd.errors import DatabaseUnavailable
from chimewayd.session import PROBE_CHANNEL, Session
from chimewayd.testing.receiver import Receiver

pytestmark = pytest.mark.anyio

FIRST_WITH_A_LIMIT = 17
"""The queue of earlier ones takes 8 GB to fill."""

SMALLEST = {"max_notify_queue_pages": "64"}
FILL = "select pg_notify('others', repeat('x', 7000) || n) from generate_series(1, $1) as n"
WAIT_SECONDS = 20
PROBED = """
select count(*) from pg_stat_activity
where application_name = 'chimewayd/upkeep' and query like '%pg_notify%' and query_start > $1
"""


@pytest.fixture
async def small_queue() -> AsyncIterator[str]:
    """The DSN of a migrated server of the test's own, with room for few notifications."""
    version = databases.wanted_version(os.environ)
    if version is not None and version < FIRST_WITH_A_LIMIT:
        pytest.skip(f"the notification queue of Postgres {version} is too large to be filled")
    with embedded.server(settings=SMALLEST, version=version) as server:
        connection = await asyncpg.connect(server.dsn)
        await migrate.apply(connection)
        await connection.close()
        yield server.dsn


async def fill(dsn: str) -> asyncpg.Connection:
    """Fill the queue; it is full until the connection that is returned ends."""
    deaf, loud = await asyncpg.connect(dsn), await asyncpg.connect(dsn)
    await deaf.execute("listen others")
    await deaf.execute("begin; select 1")
    for count in (50, 1):  # whole pages, and then what is left of the last one
        with suppress(asyncpg.ProgramLimitExceededError):
            while True:
                await loud.fetch(FILL, count)
    await loud.close()
    return deaf


async def test_probe_that_finds_the_queue_full_was_not_sent(small_queue: str) -> None:
    async with Session(small_queue, "upkeep") as session:
        deaf = await fill(small_queue)
        with pytest.raises(DatabaseUnavailable, match="NOTIFY queue"):
            await session.notify(PROBE_CHANNEL, "x")
        deaf.terminate()


async def test_deliveries_go_in_and_out_while_the_notification_queue_is_full(
    small_queue: str, hooks: Receiver
) -> None:
    """No insert was taken while a daemon slept, and the daemon ended at its first probe."""
    connection = await asyncpg.connect(small_queue)
    async with running(small_queue, {"hooks": WEBHOOK}, poll_interval="200ms") as daemon:
        deaf = await fill(small_queue)
        full_since = await connection.fetchval("select clock_timestamp()")
        with anyio.fail_after(WAIT_SECONDS):
            while not await connection.fetchval(PROBED, full_since):  # noqa: ASYNC110 - a row
                await anyio.sleep(0.01)
        for count in range(1, 4):
            await insert(connection, channel="hooks", recipient=hooks.url)
            await daemon.said("attempt_recorded", count)
        deaf.terminate()
        stopped = await daemon.stop()
    await connection.close()

    assert stopped.exit_code == 0
    assert len(hooks.requests) == 3
