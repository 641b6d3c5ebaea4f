"""What wakes a sleeping daemon: the bell, the clock, and the poll when both are silent."""

from datetime import timedelta

import asyncpg
import pytest
from engine import Connection, check_invariants, insert, look
from gated import gated
from running import WEBHOOK, eventually, running

from chimewayd.testing.receiver import Receiver

pytestmark = pytest.mark.anyio

ASLEEP = """
select count(*) from pg_stat_activity
where application_name = 'chimewayd/claims' and datname = current_database()
  and state = 'idle' and query like '%next_due%'
"""
END_LISTENER = """
select pg_terminate_backend(pid) from pg_stat_activity
where application_name = 'chimewayd/listener' and datname = current_database()
"""


async def until_asleep(connection: Connection) -> None:
    """Wait until the daemon has asked what is due next: the last thing before it sleeps."""
    await eventually(lambda: connection.fetchval(ASLEEP), 1)


async def test_sleeping_daemon_is_woken_by_the_bell(
    dsn: str, connection: Connection, hooks: Receiver
) -> None:
    async with running(dsn, {"hooks": WEBHOOK}, poll_interval="60s") as daemon:
        for count in (1, 2, 3):
            await until_asleep(connection)
            await insert(connection, channel="hooks", recipient=hooks.url)
            await daemon.said("attempt_recorded", count)

    assert len(hooks.requests) == 3


async def test_delivery_that_rang_no_bell_is_found_by_the_poll(
    dsn: str, connection: Connection, hooks: Receiver
) -> None:
    await connection.execute("set chimeway.notify = 'off'")

    async with running(dsn, {"hooks": WEBHOOK}, poll_interval="200ms") as daemon:
        await until_asleep(connection)
        await insert(connection, channel="hooks", recipient=hooks.url)
        await daemon.said("attempt_recorded")

    assert len(hooks.requests) == 1


async def test_transaction_older_than_the_sleep_is_heard_of_when_it_commits(
    dsn: str, connection: Connection, hooks: Receiver
) -> None:
    producer = await asyncpg.connect(dsn)
    transaction = producer.transaction()
    await transaction.start()
    await insert(producer, channel="hooks", recipient=hooks.url)

    async with running(dsn, {"hooks": WEBHOOK}, poll_interval="60s") as daemon:
        await until_asleep(connection)
        await transaction.commit()
        await daemon.said("attempt_recorded")
    await producer.close()

    assert len(hooks.requests) == 1


async def test_scheduled_delivery_goes_out_when_it_is_due(
    dsn: str, connection: Connection, hooks: Receiver
) -> None:
    async with running(dsn, {"hooks": WEBHOOK}, poll_interval="60s") as daemon:
        await until_asleep(connection)
        due = await connection.fetchval("select clock_timestamp()") + timedelta(milliseconds=300)
        scheduled = await insert(
            connection, channel="hooks", recipient=hooks.url + "/then", scheduled_at=due
        )
        await insert(connection, channel="hooks", recipient=hooks.url + "/now")
        await daemon.said("attempt_recorded", 2)

    assert [request.path for request in hooks.requests] == ["/now", "/then"]
    assert hooks.requests[1].at >= due
    assert (await look(connection, scheduled))["status"] == "succeeded"


async def test_retry_goes_out_when_it_is_due(dsn: str, connection: Connection) -> None:
    channel = WEBHOOK | {"retry": {"schedule": ["500ms"]}}
    async with gated() as gate, running(dsn, {"hooks": channel}, poll_interval="60s") as daemon:
        gate.script("/flaky", 503, 200)
        await insert(connection, channel="hooks", recipient=gate.url + "/flaky")
        await gate.until_under_way(1)
        await until_asleep(connection)

        gate.open()
        await daemon.said("attempt_recorded", 2)

    assert len(gate.arrived) == 2


async def test_listener_that_is_cut_off_comes_back_and_misses_nothing(
    dsn: str, connection: Connection, hooks: Receiver
) -> None:
    async with running(dsn, {"hooks": WEBHOOK}, poll_interval="60s") as daemon:
        await until_asleep(connection)
        await connection.fetch(END_LISTENER)
        await insert(connection, channel="hooks", recipient=hooks.url)
        await daemon.said("listener_lost")
        await daemon.said("listener_connected", 2)
        await daemon.said("attempt_recorded")
        await until_asleep(connection)
        await insert(connection, channel="hooks", recipient=hooks.url)
        await daemon.said("attempt_recorded", 2)

    assert len(hooks.requests) == 2
    await check_invariants(connection)
