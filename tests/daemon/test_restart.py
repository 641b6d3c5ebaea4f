"""A daemon that died is not waited for: its next run, or another daemon, takes its work over."""

import sys
from functools import partial
from signal import SIGKILL
from uuid import UUID

import pytest
from engine import Connection, attempts_of, check_invariants, insert, look
from gated import Gate
from running import WEBHOOK, eventually, running

pytestmark = pytest.mark.anyio

HOOKS = {"hooks": WEBHOOK}
KILLER = """
import json, os, signal, sys, time
time.sleep(0.5)
if json.load(sys.stdin)["recipient"] == "poison":
    os.kill(os.getppid(), signal.SIGKILL)
time.sleep(0.5)
"""


async def test_killed_daemon_started_again_sends_what_it_had_in_hand_before_the_lease_ends(
    dsn: str, connection: Connection, gate: Gate
) -> None:
    delivery_id = await insert(connection, channel="hooks", recipient=gate.url)
    async with running(dsn, HOOKS, name="one", lease="1h") as daemon:
        await gate.until_under_way(1)
        await daemon.stop(SIGKILL)

    async with running(dsn, HOOKS, name="one", lease="1h") as daemon:
        await daemon.said("leases_rescued", daemon="one", count=1)
        gate.open()
        await daemon.said("attempt_recorded", status="succeeded")

    attempts = await attempts_of(connection, delivery_id)
    assert [attempt["outcome"] for attempt in attempts] == ["lost", "succeeded"]
    await check_invariants(connection)


async def test_second_daemon_of_a_name_says_so_and_leaves_the_leases_of_the_first(
    dsn: str, connection: Connection, gate: Gate
) -> None:
    delivery_id = await insert(connection, channel="hooks", recipient=gate.url)
    async with running(dsn, HOOKS, name="one") as first:
        await gate.until_under_way(1)

        async with running(dsn, HOOKS, name="one") as second:
            await second.said("name_taken", name="one")
            gate.open()
            await first.said("attempt_recorded")

    attempts = await attempts_of(connection, delivery_id)
    assert [attempt["outcome"] for attempt in attempts] == ["succeeded"]


async def test_delivery_that_kills_its_daemon_ends_and_the_others_are_lost_twice_at_most(
    dsn: str, connection: Connection
) -> None:
    channel = {
        "adapter": "exec",
        "settings": {"command": [sys.executable, "-c", KILLER]},
        "retry": {"schedule": ["100ms"] * 3},
    }
    poison = await insert(connection, channel="scripts", recipient="poison")
    others = [await insert(connection, channel="scripts", recipient="fine") for _ in range(5)]

    async def goes_on() -> bool:
        lives = daemon.process.returncode is None
        return lives and await status_of(connection, poison) != "cancelled"

    while await status_of(connection, poison) != "cancelled":
        async with running(dsn, {"scripts": channel}, name="one") as daemon:
            await eventually(goes_on, wanted=False)
    async with running(dsn, {"scripts": channel}, name="one"):
        for other in others:
            await eventually(partial(status_of, connection, other), "succeeded")

    row = await look(connection, poison)
    assert (row["suppression_reason"], row["lost_count"]) == ("retries_exhausted", 4)
    assert max([(await look(connection, other))["lost_count"] for other in others]) <= 2
    await check_invariants(connection)


async def status_of(connection: Connection, delivery_id: UUID) -> str:
    status: str = (await look(connection, delivery_id))["status"]
    return status
