"""stats: one row a channel, cheap at any size."""

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from engine import (
    Connection,
    claim,
    configure,
    delivery_in,
    insert,
    move_clock,
    operate,
)

from chimewayd.models import Status

pytestmark = pytest.mark.anyio

LATER = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
async def channel(unchecked: Connection) -> None:
    """Configure channel email."""
    await configure(unchecked)


async def stats(connection: Connection, channel: str = "email") -> asyncpg.Record:
    rows = await connection.fetch("select * from chimeway.stats() where channel = $1", channel)
    assert len(rows) == 1
    return rows[0]


async def test_idle_channel_counts_nothing(connection: Connection) -> None:
    row = await stats(connection)

    assert tuple(row) == (
        "email",
        "sink",
        0,
        None,
        None,
        0,
        0,
        0,
        0,
        None,
        0,
        0,
        0,
        None,
        None,
        None,
    )


async def test_what_waits_is_counted_by_what_it_waits_for(connection: Connection) -> None:
    for _ in range(3):
        await insert(connection)
    for _ in range(2):
        await insert(connection, scheduled_at=LATER)
    await operate(connection, "hold", await insert(connection), "wait", "ops")

    row = await stats(connection)

    assert (row["due"], row["scheduled"], row["held"]) == (3, 2, 1)


async def test_what_is_in_flight_is_counted(connection: Connection) -> None:
    for _ in range(3):
        await insert(connection)
    await claim(connection, slots=2)

    row = await stats(connection)

    assert (row["in_flight"], row["due"]) == (2, 1)


@pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.SUPPRESSED, Status.CANCELLED])
async def test_what_ended_is_counted_until_it_is_replayed(
    connection: Connection, status: Status
) -> None:
    delivery_id = await delivery_in(connection, status)
    assert (await stats(connection))[status] == 1

    await operate(connection, "replay", delivery_id, "ops", True)  # noqa: FBT003 - SQL's third argument

    assert (await stats(connection))[status] == 0


async def test_rolling_up_the_tallies_changes_no_count(connection: Connection) -> None:
    for _ in range(3):
        await delivery_in(connection, Status.SUCCEEDED)
    await delivery_in(connection, Status.CANCELLED)
    before = await stats(connection)

    await connection.execute("select chimeway.roll_up_tallies()")

    assert await stats(connection) == before
    assert await connection.fetchval("select count(*) from chimeway.tallies") == 2


async def test_age_is_that_of_the_oldest_due_delivery_of_any_priority(
    connection: Connection,
) -> None:
    await insert(connection, scheduled_at=datetime.now(UTC) - timedelta(hours=2), priority=9)
    await insert(connection)
    await operate(
        connection,
        "hold",
        await insert(connection, scheduled_at=datetime.now(UTC) - timedelta(hours=9)),
        "wait",
        "ops",
    )

    age = (await stats(connection))["oldest_due_age"]

    assert timedelta(hours=2) <= age < timedelta(hours=2, minutes=1)


async def test_age_of_a_retry_counts_from_when_it_was_due(connection: Connection) -> None:
    await delivery_in(connection, Status.FAILED)
    await move_clock(connection, timedelta(seconds=30 + 60))

    age = (await stats(connection))["oldest_due_age"]

    assert timedelta(seconds=59) < age < timedelta(seconds=75)


async def test_paused_channel_says_since_when_and_why(connection: Connection) -> None:
    await operate(connection, "pause_channel", "email", "relay down", "ops")

    row = await stats(connection)

    assert row["pause_reason"] == "relay down"
    assert row["paused_at"] is not None


async def test_living_daemons_are_counted(connection: Connection) -> None:
    register = "select chimeway.register_daemon('d1', '0.1', array['email', 'sms'])"
    await connection.execute(register)
    await move_clock(connection, timedelta(seconds=31))
    await connection.execute(register)

    assert (await stats(connection))["served_by"] == 1


async def test_channel_that_nobody_configured_is_shown_while_something_waits(
    connection: Connection,
) -> None:
    await insert(connection, channel="fax")

    row = await stats(connection, "fax")

    assert (row["adapter"], row["served_by"], row["due"]) == (None, 0, 1)


async def test_counting_stops_where_it_is_told(connection: Connection) -> None:
    for _ in range(5):
        await insert(connection)

    row = await connection.fetchrow("select * from chimeway.stats(count_up_to => 3)")

    assert row is not None
    assert row["due"] == 3


async def test_what_is_scheduled_hides_nothing_that_is_due_behind_it(
    connection: Connection,
) -> None:
    later = datetime(2100, 1, 1, tzinfo=UTC)
    for _ in range(4):
        await insert(connection, scheduled_at=later)
    for _ in range(2):
        await insert(connection, priority=10)

    row = await connection.fetchrow("select * from chimeway.stats(3) where channel = 'email'")

    assert row is not None
    assert (row["due"], row["scheduled"], row["held"]) == (2, 3, 0)
