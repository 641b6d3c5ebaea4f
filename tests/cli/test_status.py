"""`chimewayd status`: one line a channel, and what needs somebody stands out."""

import json

import engine
import pytest
from commands import chimewayd
from watcher import watching

pytestmark = pytest.mark.anyio

KEYS = {
    *("channel", "adapter", "served_by", "paused_at", "pause_reason", "due", "scheduled", "held"),
    *("in_flight", "oldest_due_age_seconds", "succeeded", "suppressed", "cancelled"),
    *("limited_by", "limited_until", "limited_why"),
}


async def serve(connection: engine.Connection, *channels: str) -> None:
    """Be a daemon that serves these channels."""
    for channel in channels:
        await engine.configure(connection, channel)
    await connection.execute("select chimeway.register_daemon('d1', '0', $1)", list(channels))


async def lines_by_channel(dsn: str) -> dict[str, str]:
    ended = await chimewayd("--dsn", dsn, "status")
    assert (ended.exit_code, ended.stderr) == (0, "")
    return {line.split()[0]: line for line in ended.stdout.splitlines()}


async def test_an_empty_database_says_so(dsn: str) -> None:
    ended = await chimewayd("--dsn", dsn, "status")

    assert ended.exit_code == 0
    assert ended.stdout.startswith("no channel yet")


async def test_a_due_channel_that_nobody_serves_is_marked_and_no_other(
    dsn: str, connection: engine.Connection
) -> None:
    await serve(connection, "email")
    await engine.insert(connection, channel="email")
    await engine.insert(connection, channel="emial")

    lines = await lines_by_channel(dsn)

    assert "! nobody serves it, and nobody ever did" in lines["emial"]
    assert "!" not in lines["email"]


async def test_what_a_daemon_left_in_flight_needs_somebody(
    dsn: str, connection: engine.Connection
) -> None:
    await engine.configure(connection)
    await engine.claim_one(connection)

    lines = await lines_by_channel(dsn)

    assert "! nobody serves it" in lines["email"]


async def test_a_paused_channel_is_marked_with_its_reason(
    dsn: str, connection: engine.Connection
) -> None:
    await serve(connection, "email")
    await engine.operate(connection, "pause_channel", "email", "relay is down", "ops")

    lines = await lines_by_channel(dsn)

    assert "! paused since 20" in lines["email"]
    assert lines["email"].endswith(" UTC: relay is down")


async def test_an_open_breaker_is_marked_with_what_it_saw(
    dsn: str, connection: engine.Connection
) -> None:
    await serve(connection, "email")
    await connection.execute(
        "insert into chimeway.breakers "
        "(channel, opened_at, opened_by, reason, retry_at, first_wait, longest_wait) "
        "values ('email', now(), 'd1', '9 of 10 calls failed', now() + interval '1 minute', "
        "'30 s', '10 min')"
    )

    lines = await lines_by_channel(dsn)

    assert "! breaker, open: " in lines["email"]
    assert "9 of 10 calls failed" in lines["email"]


async def test_columns_are_aligned(dsn: str, connection: engine.Connection) -> None:
    await serve(connection, "a", "a-channel-with-a-long-name")
    await engine.insert(connection, channel="a")

    ended = await chimewayd("--dsn", dsn, "status")

    header, first, second = ended.stdout.splitlines()
    end_of_due = header.index(" due") + len(" due")
    assert (first[end_of_due - 2 : end_of_due], second[end_of_due - 2 : end_of_due]) == (" 1", " 0")


async def test_the_document_has_stable_keys_and_the_numbers(
    dsn: str, connection: engine.Connection
) -> None:
    await serve(connection, "email")
    await engine.ended(connection, "succeeded")
    await engine.ended(connection, "permanent")
    await engine.insert(connection)

    ended = await chimewayd("--dsn", dsn, "status", "--json")

    (row,) = ended.document["channels"]
    assert set(row) == KEYS
    assert (row["channel"], row["adapter"], row["served_by"]) == ("email", "sink", 1)
    assert (row["due"], row["succeeded"], row["cancelled"]) == (1, 1, 1)
    assert row["oldest_due_age_seconds"] >= 0


async def test_watch_shows_how_many_ended_between_two_looks(
    dsn: str, connection: engine.Connection
) -> None:
    await serve(connection, "email")

    async with watching("--dsn", dsn, "status", "--watch", "--every", "0.2", "--json") as status:
        first = json.loads(await status.line())
        await engine.ended(connection, "succeeded")
        while not (row := json.loads(await status.line())["channels"][0])["succeeded"]:
            pass
        exit_code = await status.interrupt()

    assert first["channels"][0]["ended_per_second"] is None
    assert row["ended_per_second"] > 0
    assert set(row) == KEYS | {"ended_per_second"}
    assert exit_code == 130


async def test_watch_shows_one_table_below_the_other_where_there_is_no_terminal(
    dsn: str, connection: engine.Connection
) -> None:
    await serve(connection, "email")

    async with watching("--dsn", dsn, "status", "--watch", "--every", "0.2") as status:
        lines = [await status.line() for _ in range(10)]

    assert [line.split()[0] for line in (lines[2], lines[3], lines[7], lines[8])] == [
        *("channel", "email", "channel", "email"),
    ]
    assert "ended/s" in lines[2]
