"""Claims begin where the last one ended, and miss nothing for long."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import anyio
import pytest
from engine import (
    Connection,
    claim,
    claim_one,
    configure,
    insert,
    look,
    move_clock,
    operate,
    record,
    record_all,
)

pytestmark = pytest.mark.anyio

BATCH = 100
BATCHES = 20

ENTRIES_READ = """
select idx_tup_read from pg_stat_user_indexes
where schemaname = 'chimeway' and indexrelname = 'jobs_pkey'
"""
FOUND_WITHIN_SECONDS = 10
LONG_AGO = """
select set_config('chimeway.floors',
  jsonb_set(current_setting('chimeway.floors')::jsonb, '{full_at}', '0')::text, false)
"""
"""The next look that may be a full one is."""


@pytest.fixture(autouse=True)
async def channel(unchecked: Connection) -> None:
    """Configure channel email."""
    await configure(unchecked)


async def entries_read(connection: Connection) -> int:
    await connection.execute("select pg_stat_force_next_flush()")
    await connection.execute("select pg_stat_clear_snapshot()")
    read: int = await connection.fetchval(ENTRIES_READ)
    return read


async def fill(connection: Connection, rows: int) -> None:
    await connection.execute(
        "insert into chimeway.deliveries (channel, recipient, payload) "
        "select 'email', 'ada', '{}' from generate_series(1, $1::integer)",
        rows,
    )


async def test_claim_does_not_walk_over_what_a_held_snapshot_keeps(
    connection: Connection, other: Connection
) -> None:
    await fill(connection, BATCH * BATCHES)
    read = []

    async with other.transaction(isolation="repeatable_read"):
        await other.fetchval("select count(*) from chimeway.jobs")
        for _ in range(BATCHES):
            before = await entries_read(connection)
            claimed = await claim(connection, slots=BATCH)
            await record_all(connection, [(delivery, "succeeded") for delivery in claimed])
            read.append(await entries_read(connection) - before)

    # One of them may have been a full look.
    assert sorted(read)[-2] <= 3 * BATCH


@pytest.mark.parametrize(
    "question",
    ["select * from chimeway.next_due('{email}', true)", "select chimeway.unserved_channels()"],
)
async def test_idle_daemon_does_not_walk_over_what_a_held_snapshot_keeps(
    connection: Connection, other: Connection, question: str
) -> None:
    await connection.execute("select chimeway.register_daemon('d1', '0.1', '{email}')")
    # On either side of it something waits.
    for name in ("a", "sms"):
        await insert(connection, channel=name)
    await fill(connection, BATCH)

    async with other.transaction(isolation="repeatable_read"):
        await other.fetchval("select count(*) from chimeway.jobs")
        claimed = await claim(connection, slots=BATCH)
        await record_all(connection, [(delivery, "succeeded") for delivery in claimed])
        before = await entries_read(connection)
        await connection.fetch(question)
        read = await entries_read(connection) - before

    assert len(claimed) == BATCH
    assert read <= BATCH / 10


async def test_late_commit_is_found_by_a_full_look(
    connection: Connection, other: Connection
) -> None:
    transaction = other.transaction()
    await transaction.start()
    late = await insert(other)
    await insert(connection)
    assert len(await claim(connection)) == 1
    await transaction.commit()

    with anyio.fail_after(FOUND_WITHIN_SECONDS):
        while not (claimed := await claim(connection, arm=True)):
            pass

    assert [delivery.delivery_id for delivery in claimed] == [late]


async def test_priority_that_comes_into_use_is_claimed_at_once(connection: Connection) -> None:
    for priority in (0, 10):
        await insert(connection, priority=priority)
        assert len(await claim(connection)) == 1

    expected = [await insert(connection, priority=priority) for priority in (-5, 5, 20)]

    assert [delivery.delivery_id for delivery in await claim(connection)] == expected


async def test_session_that_claims_for_the_first_time_looks_everywhere(
    connection: Connection, connect: Callable[[], Awaitable[Connection]]
) -> None:
    expected = {await insert(connection, priority=priority) for priority in (3, 1, 2)}

    claimed = await claim(await connect())

    assert {delivery.delivery_id for delivery in claimed} == expected


async def test_released_delivery_is_claimed_though_its_moment_has_long_passed(
    connection: Connection,
) -> None:
    held = await insert(connection)
    await operate(connection, "hold", held, "wait", "ops")
    retried = await insert(connection)
    await operate(connection, "hold", retried, "wait", "ops")
    await operate(connection, "release", retried, "ops")
    assert [d.delivery_id for d in await claim(connection)] == [retried]

    await operate(connection, "release", held, "ops")

    assert [d.delivery_id for d in await claim(connection)] == [held]
    assert (await look(connection, held))["attempt_count"] == 1


async def test_full_look_that_passed_over_a_channel_is_made_up_for(
    connection: Connection, other: Connection
) -> None:
    """It had no room at that moment: its late commits would wait for the next full look."""
    await configure(connection, "sms")
    transaction = other.transaction()
    await transaction.start()
    late = await insert(other)
    await insert(connection)
    assert len(await claim(connection, "email", "sms")) == 1
    await transaction.commit()
    await insert(connection)
    await connection.execute(LONG_AGO)

    assert await claim(connection, "sms", arm=True) == []

    assert late in {delivery.delivery_id for delivery in await claim(connection)}


async def test_outcome_that_waited_long_is_due_now_and_not_before_the_floors(
    connection: Connection,
) -> None:
    first, second = [await claim_one(connection) for _ in range(2)]
    await record(connection, first, "temporary")
    await move_clock(connection, timedelta(seconds=31))
    (retry,) = await claim(connection)
    await record(connection, retry)

    await record(connection, second, "temporary", started_ago=121.0, finished_ago=120.0)

    (again,) = await claim(connection)
    assert again.delivery_id == second.delivery_id
