"""Every way in which a daemon can end, and what becomes of the deliveries it had in hand."""

from collections import Counter
from collections.abc import Awaitable, Callable
from signal import SIGINT, SIGKILL, SIGTERM, Signals

import pytest
from engine import Connection, attempts_of, check_invariants, events_of, insert, look
from gated import Gate
from running import WEBHOOK, eventually, running

from chimewayd.testing.receiver import Receiver

pytestmark = pytest.mark.anyio

PATIENT = WEBHOOK | {"retry": {"schedule": ["1h"]}}
OPEN_CLAIMS = "select count(*) from chimeway.claims"
LIVE_CLAIMS = "select count(*) from chimeway.claims where expires_at > clock_timestamp()"
END_SESSIONS = """
select count(pg_terminate_backend(pid)) from pg_stat_activity
where application_name like 'chimewayd/%' and datname = current_database()
"""


@pytest.mark.parametrize("signal", [SIGTERM, SIGINT])
async def test_idle_daemon_stops_at_once(dsn: str, connection: Connection, signal: Signals) -> None:
    async with running(dsn, {"hooks": WEBHOOK}) as daemon:
        stopped = await daemon.stop(signal)

    assert stopped.exit_code == 0
    assert stopped.events()[-1] == "daemon_stopped"
    assert await connection.fetchval("select count(*) from chimeway.daemons") == 0


async def test_stop_waits_for_calls_in_flight_and_records_them(
    dsn: str, connection: Connection, gate: Gate
) -> None:
    ids = [await insert(connection, channel="hooks", recipient=gate.url) for _ in range(3)]

    async with running(dsn, {"hooks": WEBHOOK}) as daemon:
        await gate.until_under_way(3)
        daemon.signal(SIGTERM)
        (draining,) = await daemon.said("daemon_draining")
        gate.open()
        stopped = await daemon.ended()

    assert stopped.exit_code == 0
    assert draining["in_hand"] == 3
    assert [(await look(connection, one))["status"] for one in ids] == ["succeeded"] * 3
    await check_invariants(connection)


async def test_call_that_outlasts_the_grace_is_recorded_as_uncertain(
    dsn: str, connection: Connection, gate: Gate
) -> None:
    delivery_id = await insert(connection, channel="hooks", recipient=gate.url)

    async with running(dsn, {"hooks": PATIENT}, shutdown_grace="100ms") as daemon:
        await gate.until_under_way(1)
        stopped = await daemon.stop()

    row = await look(connection, delivery_id)
    (attempt,) = await attempts_of(connection, delivery_id)
    assert stopped.exit_code == 0
    assert (attempt["outcome"], attempt["error_class"]) == ("failed", "uncertain")
    assert row["status"] == "failed"
    assert row["next_attempt_at"] is not None
    assert await connection.fetchval(OPEN_CLAIMS) == 0
    await check_invariants(connection)


async def test_delivery_that_was_claimed_and_not_called_is_given_back_unused(
    dsn: str, connection: Connection, gate: Gate
) -> None:
    called = await insert(connection, channel="hooks", recipient=gate.url)
    waiting = await insert(connection, channel="hooks", recipient=gate.url)

    async with running(dsn, {"hooks": WEBHOOK | {"concurrency": 1}}) as daemon:
        await gate.until_under_way(1)
        daemon.signal(SIGTERM)
        await daemon.said("delivery_released")
        gate.open()
        stopped = await daemon.ended()

    row = await look(connection, waiting)
    assert stopped.exit_code == 0
    assert (row["status"], row["attempt_count"]) == ("pending", 0)
    assert [e["event"] for e in await events_of(connection, waiting)] == ["released_unsent"]
    assert (await look(connection, called))["status"] == "succeeded"
    assert gate.arrived == [str(called)]
    await check_invariants(connection)


async def test_second_signal_ends_everything_at_once(
    dsn: str, connection: Connection, gate: Gate
) -> None:
    delivery_id = await insert(connection, channel="hooks", recipient=gate.url)

    async with running(dsn, {"hooks": WEBHOOK}, shutdown_grace="10m") as daemon:
        await gate.until_under_way(1)
        daemon.signal(SIGTERM)
        await daemon.said("daemon_draining")
        stopped = await daemon.stop()

    assert stopped.exit_code == 0
    assert stopped.events()[-1] == "daemon_stopped"
    assert "adapter_misbehaved" not in stopped.events()
    assert daemon.other_output == []
    assert await attempts_of(connection, delivery_id) == []
    await check_invariants(connection)


async def test_delivery_of_a_killed_daemon_is_rescued_and_sent_again(
    dsn: str, connection: Connection, gate: Gate, all_ended: Callable[[], Awaitable[None]]
) -> None:
    channels = {"hooks": WEBHOOK | {"timeout": "500ms"}}
    delivery_id = await insert(connection, channel="hooks", recipient=gate.url)

    async with running(dsn, channels, lease="5500ms", name="first") as daemon:
        await gate.until_under_way(1)
        stopped = await daemon.stop(SIGKILL)
    gate.open()
    await eventually(lambda: connection.fetchval(LIVE_CLAIMS), 0)
    async with running(dsn, channels, name="second") as daemon:
        (rescued,) = await daemon.said("leases_rescued")
        await all_ended()

    first, second = await attempts_of(connection, delivery_id)
    assert stopped.exit_code == -SIGKILL
    assert (rescued["daemon"], rescued["deliveries"]) == ("first", [str(delivery_id)])
    assert (first["outcome"], first["daemon_name"]) == ("lost", "first")
    assert (second["outcome"], second["daemon_name"]) == ("succeeded", "second")
    assert gate.arrived == [str(delivery_id)] * 2
    await check_invariants(connection)


async def test_daemon_whose_sessions_are_killed_under_load_loses_nothing(
    dsn: str, connection: Connection, hooks: Receiver, all_ended: Callable[[], Awaitable[None]]
) -> None:
    # A batch whose claim was committed and not heard of waits for its lease to end.
    channels = {"hooks": WEBHOOK | {"timeout": "500ms"}}

    async with running(dsn, channels, lease="5500ms") as daemon:
        await connection.execute(
            "insert into chimeway.deliveries (channel, recipient, payload)"
            " select 'hooks', $1, '{}' from generate_series(1, 500)",
            hooks.url,
        )
        for sent in (50, 150, 300):
            await hooks.wait_for(sent)
            await connection.fetch(END_SESSIONS)
        await daemon.said("database_lost")
        await all_ended()
        stopped = await daemon.stop()

    ids = await connection.fetch("select id::text from chimeway.deliveries")
    sent_ids = Counter(request.headers["webhook-id"] for request in hooks.requests)
    assert stopped.exit_code == 0
    assert set(sent_ids) == {row["id"] for row in ids}
    assert len(sent_ids) == 500
    await check_invariants(connection)
