"""A channel's rate, kept by daemons that run side by side."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from signal import SIGHUP

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
TAKEN = """
select max(a.started_at) - min(d.inserted_at)
from chimeway.delivery_attempts as a
join chimeway.deliveries as d on d.id = a.delivery_id
"""


RELOADED = """
[channels.hooks]
adapter = "webhook"
concurrency = 2
# rate = "1/h"
settings = { allow_networks = ["127.0.0.0/8"] }
"""


async def test_two_daemons_keep_one_rate_between_them(
    dsn: str, connection: Connection, hooks: Receiver, all_ended: Callable[[], Awaitable[None]]
) -> None:
    """5 calls at once, 55 each 50 ms after that; had each its own, half of it would be enough."""
    channels = {"hooks": WEBHOOK | {"rate": "20/s", "rate_burst": 5}}

    async with (
        running(dsn, channels, name="one", poll_interval="60s"),
        running(dsn, channels, name="two", poll_interval="60s"),
    ):
        await connection.execute(INSERT_MANY, "hooks", hooks.url, 60)
        await all_ended()

    assert len(hooks.requests) == 60
    assert await connection.fetchval(TAKEN) >= timedelta(seconds=55 / 20)
    await check_invariants(connection)


async def test_daemon_sleeps_until_the_next_call_is_free(
    dsn: str, connection: Connection, hooks: Receiver
) -> None:
    channels = {"hooks": WEBHOOK | {"rate": "1/s"}}
    await connection.execute(INSERT_MANY, "hooks", hooks.url, 3)

    async with running(dsn, channels, poll_interval="60s") as daemon:
        await daemon.said("attempt_recorded", 3)

    assert len(hooks.requests) == 3
    assert daemon.of("delivery_released") == []


async def test_rate_of_one_channel_does_not_hold_up_another(
    dsn: str, connection: Connection, hooks: Receiver
) -> None:
    channels = {"slow": WEBHOOK | {"rate": "1/h"}, "hooks": WEBHOOK}
    await connection.execute(INSERT_MANY, "slow", hooks.url, 10)

    async with running(dsn, channels, poll_interval="60s") as daemon:
        await daemon.said("attempt_recorded", channel="slow")
        await connection.execute(INSERT_MANY, "hooks", hooks.url, 20)
        await daemon.said("attempt_recorded", 20, channel="hooks")

    async def tried() -> int:
        count: int = await connection.fetchval(
            "select count(*) from chimeway.deliveries where channel = 'slow' and attempt_count > 0"
        )
        return count

    await eventually(tried, 1)


async def test_rate_that_comes_with_a_reload_counts_for_what_waits_in_hand(
    dsn: str, connection: Connection, gate: Gate, tmp_path: Path
) -> None:
    file = tmp_path / "config.toml"
    file.write_text(RELOADED, "utf-8")
    in_hand = "select count(*) from chimeway.deliveries where claim_id is not null"

    async with running(dsn, {}, {"CHIMEWAYD_CONFIG": str(file)}) as daemon:
        await connection.execute(INSERT_MANY, "hooks", gate.url, 4)
        await gate.until_under_way(2)
        await eventually(lambda: connection.fetchval(in_hand), 4)
        file.write_text(RELOADED.replace("# ", ""), "utf-8")
        daemon.signal(SIGHUP)
        (released,) = await daemon.said("delivery_released")
        gate.open()
        await daemon.said("attempt_recorded", 2)
        await eventually(lambda: connection.fetchval(in_hand), 0)

    assert released["deliveries"] == 2
