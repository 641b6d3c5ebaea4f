"""A channel whose provider does not work: the daemons stop, try with one call, and go on."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from engine import Connection, check_invariants
from gated import Gate
from running import WEBHOOK, eventually, running

from chimewayd.testing.receiver import Receiver

pytestmark = pytest.mark.anyio

INSERT_MANY = """
insert into chimeway.deliveries (channel, recipient, payload)
select $1, $2, '{}' from generate_series(1, $3::integer)
"""
OPEN = "select chimeway.open_breaker('fragile', 'relay down', 'another', '200 ms', '1 h', '{}')"
BREAKER: dict[str, Any] = {
    "failure_ratio": 0.5,
    "min_calls": 4,
    "open_for": "300ms",
    "longest_open": "300ms",
}
FRAGILE: dict[str, Any] = WEBHOOK | {
    "concurrency": 4,
    "breaker": BREAKER,
    "retry": {"schedule": ["100ms"] * 20},
}


async def test_failures_stop_the_channel_and_a_probe_starts_it_again(
    dsn: str, connection: Connection, hooks: Receiver, all_ended: Callable[[], Awaitable[None]]
) -> None:
    hooks.script("/", *[503] * 16, 200)
    await connection.execute(INSERT_MANY, "hooks", f"{hooks.url}/", 20)

    async with running(dsn, {"hooks": FRAGILE}, poll_interval="60s") as daemon:
        (opened,) = await daemon.said("breaker_opened")
        await all_ended()
        await daemon.said("breaker_closed")

    assert "calls within 1m failed (temporary " in opened["reason"]
    tried_again = sum(row["status_code"] == 503 for row in await attempts(connection))
    assert tried_again == 16
    assert len(hooks.requests) == 36
    await check_invariants(connection)


async def test_one_call_tries_for_all_daemons(
    dsn: str,
    connection: Connection,
    hooks: Receiver,
    gate: Gate,
    all_ended: Callable[[], Awaitable[None]],
) -> None:
    """While the probe waits for its answer nobody else calls, however often they look."""
    channels = {"fragile": FRAGILE, "other": WEBHOOK}

    async with (
        running(dsn, channels, name="one", poll_interval="200ms") as one,
        running(dsn, channels, name="two", poll_interval="200ms") as two,
    ):
        await connection.execute(OPEN)
        await connection.execute(INSERT_MANY, "fragile", gate.url, 30)
        await gate.until_under_way(1)
        for daemon in (one, two):
            while not daemon.of("attempt_recorded", channel="other"):
                await connection.execute(INSERT_MANY, "other", hooks.url, 5)
                await eventually(lambda: waiting(connection, "other"), 0)
        assert gate.most["all"] == 1
        assert await waiting(connection, "fragile") == 29

        gate.open()
        await all_ended()

    assert gate.most["all"] > 1
    await check_invariants(connection)


async def test_daemon_that_did_not_open_it_says_so_and_gives_back_what_waits(
    dsn: str, connection: Connection, gate: Gate
) -> None:
    await connection.execute(INSERT_MANY, "fragile", gate.url, 8)

    async with running(dsn, {"fragile": FRAGILE}) as daemon:
        await gate.until_under_way(4)
        await connection.execute(OPEN.replace("200 ms", "1 h"))
        (opened,) = await daemon.said("breaker_opened")
        (released,) = await daemon.said("delivery_released")

    assert (opened["daemon"], opened["reason"]) == ("another", "relay down")
    assert (released["deliveries"], gate.most["all"]) == (4, 4)


async def test_calls_that_were_under_way_when_it_opened_do_not_open_it_again(
    dsn: str, connection: Connection, hooks: Receiver, gate: Gate
) -> None:
    """Three fail late; with them and a probe that works, more than half of four would."""
    hooks.script("/", *[503] * 4, 200)
    gate.script("/", 503)
    channel = FRAGILE | {
        "concurrency": 10,
        "breaker": BREAKER | {"open_for": "1h", "longest_open": "1h"},
        "retry": {"schedule": ["1h"]},
    }

    async with running(dsn, {"hooks": channel}) as daemon:
        await connection.execute(INSERT_MANY, "hooks", f"{gate.url}/", 3)
        await gate.until_under_way(3)
        await connection.execute(INSERT_MANY, "hooks", f"{hooks.url}/", 4)
        await daemon.said("breaker_opened")
        gate.open()
        await daemon.said("attempt_recorded", 7)
        await connection.execute(INSERT_MANY, "hooks", f"{hooks.url}/", 5)
        await connection.execute("update chimeway.breakers set retry_at = chimeway.clock()")
        await daemon.said("attempt_recorded", 5, status="succeeded")
        assert await connection.fetchval("select count(*) from chimeway.breakers") == 0

    await check_invariants(connection)


async def waiting(connection: Connection, channel: str) -> int:
    count: int = await connection.fetchval(
        "select count(*) from chimeway.deliveries"
        " where channel = $1 and status in ('pending', 'failed')",
        channel,
    )
    return count


async def attempts(connection: Connection) -> list[Any]:
    return await connection.fetch("select status_code from chimeway.delivery_attempts")
