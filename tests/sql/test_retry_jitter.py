"""Jitter as a distribution: bounded, even, and never below what a provider asked for.

The luck is the same in each run; the bounds would hold with any luck, but for one run in millions.
"""

from collections.abc import AsyncIterator
from datetime import timedelta
from statistics import fmean

import pytest
from engine import Connection, claim, configure
from frozen_clock import START, set_clock, standing_still

pytestmark = pytest.mark.anyio

MOMENT = timedelta(microseconds=1)

INSERT_MANY = """
insert into chimeway.deliveries (channel, recipient, payload, scheduled_at)
select 'email', 'ada@example.org', '{}', $2 from generate_series(1, $1)
"""
FAIL_MANY = """
select r.next_attempt_at - $6 as wait
from chimeway.record('d1', $1, $2, $3, $4, $4, null, null, null, null, $5) as r
"""


@pytest.fixture
async def frozen(unchecked: Connection) -> AsyncIterator[Connection]:
    """A connection to an empty queue whose clock stands at START."""
    async with standing_still(unchecked) as connection:
        yield connection


async def waits_of_many(
    connection: Connection, count: int, *, retry_after: timedelta | None = None
) -> list[timedelta]:
    """Insert, claim and fail so many at one moment, with the same luck each time."""
    await connection.execute("select setseed(0.5)")
    await connection.execute(INSERT_MANY, count, START)
    claimed = await claim(connection, slots=count, limit=count)
    rows = await connection.fetch(
        FAIL_MANY,
        [delivery.delivery_id for delivery in claimed],
        [delivery.claim_id for delivery in claimed],
        ["temporary"] * count,
        [0.0] * count,
        [retry_after] * count,
        START,
    )
    assert len(rows) == count
    return [row["wait"] for row in rows]


async def test_jitter_spreads_the_waits_evenly_within_its_bounds(frozen: Connection) -> None:
    await configure(frozen, backoff_base=timedelta(seconds=100), backoff_jitter=0.2)

    waits = [wait.total_seconds() for wait in await waits_of_many(frozen, 2000)]

    assert 80 <= min(waits) < 81
    assert 119 < max(waits) < 120
    assert len(set(waits)) > 1990
    # Evenly: six standard deviations of the mean, and of the count in a quarter, are 1.6 and 117.
    assert abs(fmean(waits) - 100) < 1.6
    for quarter in (80, 90, 100, 110):
        assert abs(sum(quarter <= wait < quarter + 10 for wait in waits) - 500) < 117


async def test_jitter_applies_to_a_schedule_too(frozen: Connection) -> None:
    await configure(frozen, backoff_schedule=[timedelta(seconds=100)], backoff_jitter=0.5)

    waits = [wait.total_seconds() for wait in await waits_of_many(frozen, 500)]

    assert 50 <= min(waits) < 55
    assert 145 < max(waits) < 150


async def test_nothing_is_due_before_the_jitter_allows_and_all_is_after_it(
    frozen: Connection,
) -> None:
    await configure(frozen, backoff_base=timedelta(seconds=100), backoff_jitter=0.9)
    waits = sorted(await waits_of_many(frozen, 300))

    claimed = []
    for moment in (timedelta(seconds=10) - MOMENT, waits[100], timedelta(seconds=190)):
        await set_clock(frozen, START + moment)
        claimed.append(len(await claim(frozen, slots=300)))

    assert claimed == [0, 101, 199]


async def test_without_jitter_all_waits_are_the_same(frozen: Connection) -> None:
    await configure(frozen)

    assert set(await waits_of_many(frozen, 100)) == {timedelta(seconds=30)}


async def test_jitter_never_comes_before_what_the_provider_asked_for(frozen: Connection) -> None:
    await configure(frozen, backoff_base=timedelta(seconds=100), backoff_jitter=0.9)

    waits = await waits_of_many(frozen, 300, retry_after=timedelta(seconds=90))

    assert min(waits) == timedelta(seconds=90)
    assert max(waits) > timedelta(seconds=170)
