"""A few of the fail points in the real daemon; the fault suite has them all, under load."""

import json
from collections.abc import Awaitable, Callable
from signal import SIGKILL

import pytest
from commands import Ended, chimewayd
from engine import Connection, attempts_of, check_invariants, insert
from running import WEBHOOK, running

from chimewayd.testing.receiver import Receiver

pytestmark = pytest.mark.anyio

HOOKS = {"hooks": WEBHOOK}
DEATHS = [
    ("before_claim", ["succeeded"], 1),
    ("after_claim", ["lost", "succeeded"], 1),
    ("before_call", ["lost", "succeeded"], 1),
    ("after_call", ["lost", "succeeded"], 2),
    ("before_record", ["lost", "succeeded"], 2),
    ("after_record", ["succeeded"], 1),
]
"""A point, the attempts that the history has in the end, and how often the receiver was called."""


async def mark_for_tests(connection: Connection) -> None:
    name = await connection.fetchval("select pg_catalog.quote_ident(current_database())")
    await connection.execute(f"alter database {name} set chimeway.is_test = 'on'")


async def run_armed(dsn: str, failpoints: str) -> Ended:
    """Run a daemon until it ends by itself."""
    return await chimewayd(
        "run",
        environment={
            "CHIMEWAYD_DSN": dsn,
            "CHIMEWAYD_CHANNELS": json.dumps(HOOKS),
            "CHIMEWAYD_NAME": "one",
            "CHIMEWAYD_LEASE": "1h",
            "CHIMEWAYD_FAILPOINTS": failpoints,
        },
    )


@pytest.mark.parametrize(("point", "outcomes", "calls"), DEATHS)
async def test_daemon_that_dies_at_a_point_leaves_all_to_its_next_run(
    dsn: str,
    connection: Connection,
    hooks: Receiver,
    all_ended: Callable[[], Awaitable[None]],
    point: str,
    outcomes: list[str],
    calls: int,
) -> None:
    await mark_for_tests(connection)
    delivery_id = await insert(connection, channel="hooks", recipient=hooks.url)

    ended = await run_armed(dsn, f"{point}=kill")
    async with running(dsn, HOOKS, name="one", lease="1h"):
        await all_ended()

    attempts = await attempts_of(connection, delivery_id)
    assert (ended.exit_code, ended.stderr) == (-SIGKILL, f"failpoint {point}: kill\n")
    assert [attempt["outcome"] for attempt in attempts] == outcomes
    assert len(hooks.requests) == calls
    await check_invariants(connection)


async def test_daemon_whose_stage_raises_ends_with_an_error_and_leaves_all_to_its_next_run(
    dsn: str, connection: Connection, hooks: Receiver, all_ended: Callable[[], Awaitable[None]]
) -> None:
    await mark_for_tests(connection)
    delivery_id = await insert(connection, channel="hooks", recipient=hooks.url)

    ended = await run_armed(dsn, "before_record=raise")
    async with running(dsn, HOOKS, name="one", lease="1h"):
        await all_ended()

    attempts = await attempts_of(connection, delivery_id)
    assert ended.exit_code == 1
    assert "fail point before_record" in ended.stdout
    assert [attempt["outcome"] for attempt in attempts] == ["lost", "succeeded"]
    await check_invariants(connection)


async def test_call_that_raises_is_an_attempt_and_the_daemon_goes_on(
    dsn: str, connection: Connection, hooks: Receiver, all_ended: Callable[[], Awaitable[None]]
) -> None:
    await mark_for_tests(connection)
    armed = {"CHIMEWAYD_FAILPOINTS": "in_call=raise@1"}

    async with running(dsn, HOOKS, armed) as daemon:
        delivery_id = await insert(connection, channel="hooks", recipient=hooks.url)
        await daemon.printed("failpoint in_call: raise")
        await all_ended()
        stopped = await daemon.stop()

    attempts = await attempts_of(connection, delivery_id)
    assert stopped.exit_code == 0
    assert [attempt["outcome"] for attempt in attempts] == ["rejected", "succeeded"]
    await check_invariants(connection)


async def test_database_that_is_not_marked_for_tests_is_refused(
    dsn: str, connection: Connection, hooks: Receiver
) -> None:
    await insert(connection, channel="hooks", recipient=hooks.url)

    ended = await run_armed(dsn, "after_claim=kill")

    assert ended.exit_code == 78
    assert "CHIMEWAYD_FAILPOINTS" in ended.stderr
    assert "chimeway.is_test" in ended.stderr
    assert hooks.requests == []


async def test_point_that_is_not_known_is_refused_with_those_that_are(
    dsn: str, connection: Connection
) -> None:
    await mark_for_tests(connection)

    ended = await run_armed(dsn, "after_clam=kill")

    assert ended.exit_code == 78
    assert "'after_clam'" in ended.stderr
    assert "after_claim" in ended.stderr
