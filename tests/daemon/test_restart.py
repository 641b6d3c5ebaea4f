"""A daemon that died is not waited for: its next run, or another daemon, takes its work over."""

from signal import SIGKILL

import pytest
from engine import Connection, attempts_of, check_invariants, insert
from gated import Gate
from running import WEBHOOK, running

pytestmark = pytest.mark.anyio

HOOKS = {"hooks": WEBHOOK}


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
