"""Channels, limits and turns: what is in hand at one time, and what must not wait for what."""

from collections import Counter
from collections.abc import Awaitable, Callable

import pytest
from engine import Connection, check_invariants, insert, look
from gated import Gate
from loglines import lines, restored_logging, started
from running import WEBHOOK, eventually, running

from chimewayd import sweep
from chimewayd.testing.receiver import Receiver

pytestmark = pytest.mark.anyio

INSERT_MANY = """
insert into chimeway.deliveries (channel, recipient, payload)
select $1, $2, jsonb_build_object('n', n) from generate_series(1, $3::integer) as n
"""


async def test_channel_that_hangs_does_not_delay_another(
    dsn: str, connection: Connection, gate: Gate, hooks: Receiver
) -> None:
    slow = WEBHOOK | {"concurrency": 6, "timeout": "50s"}
    await connection.execute(INSERT_MANY, "slow", gate.url, 50)

    async with running(
        dsn, {"slow": slow, "hooks": WEBHOOK}, concurrency=10, poll_interval="60s"
    ) as daemon:
        await gate.until_under_way(6)
        await connection.execute(INSERT_MANY, "hooks", hooks.url, 50)
        await daemon.said("attempt_recorded", 50, channel="hooks")
        await eventually(
            lambda: connection.fetchval(
                "select count(*) from chimeway.deliveries where status = 'succeeded'"
            ),
            50,
        )

    assert len(hooks.requests) == 50
    assert gate.most["all"] == 6


async def test_calls_at_one_time_are_never_more_than_the_limits(
    dsn: str, connection: Connection, gate: Gate, all_ended: Callable[[], Awaitable[None]]
) -> None:
    channels = {name: WEBHOOK | {"concurrency": 3} for name in ("a", "b")}
    await connection.execute(INSERT_MANY, "a", f"{gate.url}/a", 40)

    async with running(dsn, channels, concurrency=4, poll_interval="60s"):
        await gate.until_under_way(3)
        await connection.execute(INSERT_MANY, "b", f"{gate.url}/b", 40)
        await gate.until_under_way(4)
        gate.open()
        await all_ended()

    assert len(gate.requests) == 80
    assert gate.most["all"] == 4
    assert max(gate.most["/a"], gate.most["/b"]) == 3
    await check_invariants(connection)


async def test_many_deliveries_are_sent_once_each(
    dsn: str, connection: Connection, hooks: Receiver, all_ended: Callable[[], Awaitable[None]]
) -> None:
    busy = WEBHOOK | {"concurrency": 20}

    async with running(dsn, {"busy": busy, "idle": WEBHOOK}, poll_interval="60s"):
        await connection.execute(INSERT_MANY, "busy", hooks.url, 2000)
        await all_ended()

    sent = Counter(request.headers["webhook-id"] for request in hooks.requests)
    ids = await connection.fetch("select id::text from chimeway.deliveries")
    assert sent == Counter(row["id"] for row in ids)
    assert len(sent) == 2000
    await check_invariants(connection)


async def test_two_daemons_share_the_work_and_send_once_each(
    dsn: str, connection: Connection, hooks: Receiver, all_ended: Callable[[], Awaitable[None]]
) -> None:
    channels = {"hooks": WEBHOOK | {"concurrency": 20}}

    async with running(dsn, channels, name="one"), running(dsn, channels, name="two"):
        await connection.execute(INSERT_MANY, "hooks", hooks.url, 1000)
        await all_ended()

    sent = Counter(request.headers["webhook-id"] for request in hooks.requests)
    by_daemon = await connection.fetch(
        "select daemon_name, count(*) from chimeway.delivery_attempts group by 1 order by 1"
    )
    assert set(sent.values()) == {1}
    assert len(sent) == 1000
    assert [row["daemon_name"] for row in by_daemon] == ["one", "two"]
    await check_invariants(connection)


async def test_smaller_priority_is_sent_first(
    dsn: str, connection: Connection, hooks: Receiver, all_ended: Callable[[], Awaitable[None]]
) -> None:
    for priority in (5, -1, 3, 0):
        await insert(
            connection, channel="hooks", recipient=f"{hooks.url}/{priority}", priority=priority
        )

    async with running(dsn, {"hooks": WEBHOOK | {"concurrency": 1}}):
        await all_ended()

    assert [request.path for request in hooks.requests] == ["/-1", "/0", "/3", "/5"]


async def test_delivery_of_an_unserved_channel_waits_for_a_daemon_that_serves_it(
    dsn: str, connection: Connection, hooks: Receiver
) -> None:
    waiting = await insert(connection, channel="later", recipient=hooks.url + "/later")

    async with running(dsn, {"hooks": WEBHOOK}) as daemon:
        (said,) = await daemon.said("channel_unserved")
        await insert(connection, channel="hooks", recipient=hooks.url + "/now")
        await daemon.said("attempt_recorded")
    before = await look(connection, waiting)
    async with running(dsn, {"hooks": WEBHOOK, "later": WEBHOOK}) as daemon:
        await daemon.said("attempt_recorded")

    assert said["channel"] == "later"
    assert (before["status"], before["attempt_count"]) == ("pending", 0)
    assert [request.path for request in hooks.requests] == ["/now", "/later"]
    assert (await look(connection, waiting))["status"] == "succeeded"


def test_unserved_channel_is_said_once_until_it_was_served() -> None:
    known: set[str] = set()

    with restored_logging():
        out = started()
        for found in ({"later"}, {"later"}, {"later", "other"}, set(), {"later"}):
            sweep._say_unserved(set(found), known)

    assert [line["channel"] for line in lines(out)] == ["later", "other", "later"]
