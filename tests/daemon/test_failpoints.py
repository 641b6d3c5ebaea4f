"""A few of the fail points in the real daemon; the fault suite has them all, under load."""

import json
from collections.abc import Awaitable, Callable
from signal import SIGKILL
from typing import Any

import pytest
from commands import Ended, chimewayd
from engine import Connection, attempts_of, check_invariants, insert
from gated import Gate
from running import WEBHOOK, eventually, running

from chimewayd.testing.receiver import Receiver

pytestmark = pytest.mark.anyio

HOOKS = {"hooks": WEBHOOK}
TWO: dict[str, Any] = {
    "first": WEBHOOK
    | {
        "fallback": "second",
        "timeout": "4s",
        "settings": WEBHOOK["settings"] | {"permanent_statuses": [422]},
    },
    "second": WEBHOOK | {"timeout": "4s"},
}
FRAGILE: dict[str, Any] = {"fragile": WEBHOOK | {"timeout": "4s"}}
PROBE = """
select b.probe_claim_id from chimeway.breakers as b
where b.channel = 'fragile' and chimeway.is_probing(b)
"""
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


async def run_armed(
    dsn: str, failpoints: str, channels: dict[str, Any] = HOOKS, lease: str = "1h"
) -> Ended:
    """Run a daemon until it ends by itself."""
    return await chimewayd(
        "run",
        environment={
            "CHIMEWAYD_DSN": dsn,
            "CHIMEWAYD_CHANNELS": json.dumps(channels),
            "CHIMEWAYD_NAME": "one",
            "CHIMEWAYD_LEASE": lease,
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


@pytest.mark.parametrize(
    ("point", "outcomes"),
    [
        ("before_record", ["lost", "rejected"]),
        ("after_record", ["rejected"]),
    ],
)
async def test_daemon_that_dies_while_a_delivery_falls_back_leaves_one_fallback(
    dsn: str,
    connection: Connection,
    hooks: Receiver,
    all_ended: Callable[[], Awaitable[None]],
    point: str,
    outcomes: list[str],
) -> None:
    """The failure and its fallback are one commit: before it neither is there, after it both."""
    await mark_for_tests(connection)
    hooks.script("/first", 422, 422)
    aside = {"fallback": {"second": {"recipient": f"{hooks.url}/second"}}}
    origin_id = await insert(
        connection, channel="first", recipient=f"{hooks.url}/first", metadata=json.dumps(aside)
    )

    ended = await run_armed(dsn, f"{point}=kill", TWO, lease="10s")
    made_by_then = await connection.fetchval("select count(*) from chimeway.fallbacks")
    async with running(dsn, TWO, name="two", lease="10s"):
        await all_ended()

    assert ended.exit_code == -SIGKILL
    assert made_by_then == (point == "after_record")
    assert [a["outcome"] for a in await attempts_of(connection, origin_id)] == outcomes
    (made,) = await connection.fetch(
        "select d.id, d.channel, d.status, f.origin_id, d.lost_count from chimeway.deliveries as d"
        " left join chimeway.fallbacks as f on f.delivery_id = d.id where d.id <> $1",
        origin_id,
    )
    assert tuple(made)[1:4] == ("second", "succeeded", origin_id)
    # The first daemon may have heard of the second delivery, and claimed or called, before it died.
    claims = len(await attempts_of(connection, made["id"]))
    paths = [r.path for r in hooks.requests]
    assert paths == ["/first"] * len(outcomes) + ["/second"] * paths.count("/second")
    assert 1 <= paths.count("/second") <= claims == 1 + made["lost_count"]
    assert claims == 1 or point == "after_record"
    told = await connection.fetch("select event from chimeway.explain($1)", origin_id)
    assert [row["event"] for row in told].count("fell_back") == 1
    (told_of_made, *_) = await connection.fetch("select why from chimeway.explain($1)", made["id"])
    assert str(origin_id) in told_of_made["why"]
    await check_invariants(connection)


async def test_probe_whose_daemon_dies_gives_way_to_another(
    dsn: str, connection: Connection, gate: Gate, all_ended: Callable[[], Awaitable[None]]
) -> None:
    await mark_for_tests(connection)
    await connection.execute(
        "select chimeway.open_breaker('fragile', 'relay down', 'another', '100 ms', '1 h', '{}')"
    )
    for _ in range(3):
        await insert(connection, channel="fragile", recipient=gate.url)

    ended = await run_armed(dsn, "in_call=kill", FRAGILE, lease="10s")
    left_behind = await connection.fetchval(PROBE)
    async with running(dsn, FRAGILE, name="two", lease="10s", poll_interval="200ms"):

        async def is_another() -> bool:
            return await connection.fetchval(PROBE) not in (None, left_behind)

        await eventually(is_another, wanted=True)
        await gate.until_under_way(1)
        in_flight = "select count(*) from chimeway.deliveries where status = 'dispatched'"
        assert await connection.fetchval(in_flight) == 1
        gate.open()
        await all_ended()

    assert ended.exit_code == -SIGKILL
    assert left_behind is not None
    counts = "select outcome, count(*) from chimeway.delivery_attempts group by 1"
    rows = await connection.fetch(counts)
    assert {row[0]: row[1] for row in rows} == {"lost": 1, "succeeded": 3}
    assert await connection.fetchval("select count(*) from chimeway.breakers") == 0
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
