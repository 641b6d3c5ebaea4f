"""`chimewayd tail`: each attempt once, as it ends, at no cost to what is delivered."""

import json
from typing import Any
from uuid import UUID

import engine
import pytest
from commands import chimewayd
from watcher import watching

pytestmark = pytest.mark.anyio

KEYS = {
    *("finished_at", "delivery_id", "attempt_number", "channel", "recipient", "tenant_id"),
    *("outcome", "error_class", "status_code", "duration_seconds", "next_attempt_at"),
    *("daemon_name", "detail"),
}
CUT = """
select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and application_name = 'chimewayd/command'
"""


async def failed(connection: engine.Connection, kind: str, **report: Any) -> UUID:
    delivery = await engine.claim_one(connection)
    await engine.record(connection, delivery, kind, **report)
    return delivery.delivery_id


@pytest.fixture(autouse=True)
async def channel(connection: engine.Connection) -> None:
    await engine.configure(connection)


async def test_attempts_are_shown_as_they_end_and_each_once(
    dsn: str, connection: engine.Connection
) -> None:
    first = await engine.ended(connection, "succeeded")

    async with watching("--dsn", dsn, "tail", "--json", "--every", "0.1") as tail:
        shown = [json.loads(await tail.line())]
        second = await engine.ended(connection, "temporary")
        shown.append(json.loads(await tail.line()))
        third = await engine.ended(connection, "succeeded")
        shown.append(json.loads(await tail.line()))
        exit_code = await tail.interrupt()

    assert [row["delivery_id"] for row in shown] == [str(first), str(second), str(third)]
    assert set(shown[1]) == KEYS
    assert (shown[1]["outcome"], shown[1]["error_class"]) == ("failed", "temporary")
    assert exit_code == 130


async def test_a_lost_session_is_told_and_what_ended_meanwhile_is_shown(
    dsn: str, connection: engine.Connection
) -> None:
    async with watching("--dsn", dsn, "tail", "--json", "--every", "0.1") as tail:
        await engine.ended(connection, "succeeded")
        await tail.line()
        await connection.execute(CUT)
        delivery_id = await engine.ended(connection, "succeeded")
        complaint = await tail.complaint()
        shown = json.loads(await tail.line())

    assert complaint.startswith("chimewayd: lost the database: ")
    assert shown["delivery_id"] == str(delivery_id)


@pytest.mark.parametrize(
    "given", ["--channel push", "--failed", "--recipient bob", "--tenant acme"]
)
async def test_filters_are_joined_with_and(
    given: str, dsn: str, connection: engine.Connection
) -> None:
    await engine.configure(connection, "push")
    await engine.ended(connection, "succeeded")
    meant = await engine.claim_one(connection, channel="push", recipient="bob", tenant_id="acme")
    await engine.record(connection, meant, "temporary")

    ended = await chimewayd("--dsn", dsn, "tail", "--once", "--json", *given.split())

    assert ended.exit_code == 0
    assert ended.document["delivery_id"] == str(meant.delivery_id)


async def test_once_prints_the_last_lines_oldest_first(
    dsn: str, connection: engine.Connection
) -> None:
    await engine.ended(connection, "succeeded")
    second = await failed(connection, "temporary", detail="HTTP 503\x1b[2J")
    third = await engine.ended(connection, "permanent")

    ended = await chimewayd("--dsn", dsn, "tail", "--once", "--lines", "2")

    above, below = ended.stdout.splitlines()
    assert f"{second}  email  attempt 1  failed/temporary" in above
    assert above.endswith("  HTTP 503\\x1b[2J; again in 30 s")
    assert f"{third}  email  attempt 1  rejected/permanent" in below
