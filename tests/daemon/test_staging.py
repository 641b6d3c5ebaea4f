"""Test mode: nobody is written to in earnest, and nobody can miss that."""

import pytest
from engine import Connection, attempts_of, insert
from running import WEBHOOK, running

from chimewayd.testing.receiver import Receiver

pytestmark = pytest.mark.anyio


async def test_sink_all_sends_nothing_and_says_so_each_time(
    dsn: str, connection: Connection, hooks: Receiver
) -> None:
    delivery_id = await insert(connection, channel="hooks", recipient=hooks.url)

    async with running(dsn, {"hooks": WEBHOOK, "more": WEBHOOK}, sink_all="true") as daemon:
        (line,) = await daemon.said("attempt_recorded", status="succeeded")
        started = daemon.of("test_mode", level="warning", mode="sink_all")

    assert [said["channel"] for said in started] == ["hooks", "more"]
    assert line["detail"] == "sink_all: nothing was sent"
    assert hooks.requests == []
    (attempt,) = await attempts_of(connection, delivery_id)
    assert attempt["detail"] == "sink_all: nothing was sent"


async def test_recipient_override_sends_everything_there_and_says_so_each_time(
    dsn: str, connection: Connection, hooks: Receiver
) -> None:
    hooks.script("/staging", 200, 410)
    for path in ("/ada", "/bob"):
        await insert(connection, channel="hooks", recipient=hooks.url + path)
    channel = WEBHOOK | {"concurrency": 1, "recipient_override": f"{hooks.url}/staging"}

    async with running(dsn, {"hooks": channel}) as daemon:
        lines = await daemon.said("attempt_recorded", 2)
        started = daemon.of("test_mode", mode="recipient_override", channel="hooks")

    assert len(started) == 1
    assert [request.path for request in hooks.requests] == ["/staging", "/staging"]
    said = "recipient_override: this went to the recipient of the configuration"
    assert [line["detail"].startswith(said) for line in lines] == [True, True]
    assert "410" in lines[1]["detail"]
    # Who answered is not who is written to otherwise.
    assert await connection.fetchval("select count(*) from chimeway.suppressions") == 0
