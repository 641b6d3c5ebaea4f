"""Two sessions that claim and two that record, when one of them fails, or the daemon stops."""

from collections.abc import Awaitable, Callable

import anyio
import pytest
from engine import Connection, check_invariants
from running import WAIT_SECONDS, Daemon, eventually, running
from stalling_proxy import Flow, proxied

pytestmark = pytest.mark.anyio

MANY = 1000
CHANNELS = {"quiet": {"adapter": "sink", "concurrency": MANY}}
COUNT = 6000
ROLES = ("claims", "claims-2", "records", "records-2")
INSERT = """
insert into chimeway.deliveries (channel, recipient, payload)
select 'quiet', 'ada@example.org', '{}' from generate_series(1, $1::integer)
"""
DAWDLE = """
create function public.dawdle() returns trigger language plpgsql
as $$ begin perform pg_catalog.pg_sleep(0.1); return null; end $$;
create trigger dawdle before update on chimeway.deliveries
for each statement execute function public.dawdle();
"""
"""So that a batch can be met while it is under way."""

UNDER_WAY = """
select array_agg(pid) from pg_stat_activity
where datname = current_database() and wait_event = 'PgSleep' and application_name = any ($1)
having count(*) = cardinality($1)
"""
DONE = "select count(*) from chimeway.deliveries where status = 'succeeded'"
ATTEMPTS = "select count(*) from chimeway.delivery_attempts"
CLAIMS = "select count(*) from chimeway.claims"
JOBS = "select count(*) from chimeway.jobs"


@pytest.fixture(autouse=True)
async def queue(connection: Connection) -> None:
    await connection.execute(DAWDLE)
    await connection.execute(INSERT, COUNT)


async def until_under_way(connection: Connection, *roles: str) -> list[int]:
    """Wait for a moment at which each of these sessions has a batch under way."""
    names = [f"chimewayd/{role}" for role in roles]
    with anyio.fail_after(WAIT_SECONDS):
        while (pids := await connection.fetchval(UNDER_WAY, names)) is None:
            await anyio.lowlevel.checkpoint()
    found: list[int] = pids
    return found


async def check_all_delivered(daemon: Daemon, connection: Connection) -> None:
    """Check that each delivery was called and recorded once, and that nothing is in hand."""
    # What the database knows, the daemon may still wait to hear.
    await daemon.said("attempt_recorded", COUNT)
    await eventually(lambda: connection.fetchval(CLAIMS), 0)
    stopped = await daemon.stop()

    (draining,) = daemon.of("daemon_draining")
    assert (stopped.exit_code, draining["in_hand"]) == (0, 0)
    assert not daemon.of("outcome_stale")
    assert await connection.fetchval(DONE) == COUNT
    assert await connection.fetchval(ATTEMPTS) == COUNT
    await check_invariants(connection)


@pytest.mark.parametrize("role", ROLES)
async def test_session_that_is_ended_in_a_batch_loses_and_repeats_nothing(
    dsn: str, connection: Connection, all_ended: Callable[[], Awaitable[None]], role: str
) -> None:
    async with running(dsn, CHANNELS, concurrency=MANY) as daemon:
        for _ in range(2):
            [pid] = await until_under_way(connection, role)
            assert await connection.fetchval("select pg_terminate_backend($1, 5000)", pid)
        await all_ended()
        await check_all_delivered(daemon, connection)


@pytest.mark.parametrize("role", ROLES)
async def test_session_that_falls_silent_in_a_batch_holds_up_nobody(
    dsn: str, connection: Connection, all_ended: Callable[[], Awaitable[None]], role: str
) -> None:
    async with (
        proxied(dsn) as proxy,
        running(proxy.dsn, CHANNELS, concurrency=MANY) as daemon,
    ):
        await until_under_way(connection, role)
        [silent] = proxy.links(f"chimewayd/{role}")
        silent.set(Flow.STALL)
        before = await connection.fetchval(DONE)
        with anyio.fail_after(WAIT_SECONDS):
            while await connection.fetchval(DONE) < before + 2 * MANY:
                assert silent in proxy.links()
        await all_ended()
        await check_all_delivered(daemon, connection)


@pytest.mark.parametrize("roles", [ROLES[:2], ROLES[2:]])
async def test_stop_with_both_under_way_leaves_nothing_in_hand(
    dsn: str, connection: Connection, roles: tuple[str, str]
) -> None:
    async with running(dsn, CHANNELS, concurrency=MANY) as daemon:
        await until_under_way(connection, *roles)
        stopped = await daemon.stop()

    done = await connection.fetchval(DONE)
    assert (stopped.exit_code, stopped.events()[-1]) == (0, "daemon_stopped")
    assert await connection.fetchval(CLAIMS) == 0
    assert await connection.fetchval(ATTEMPTS) == done
    assert await connection.fetchval(JOBS) == COUNT - done
    await check_invariants(connection)
