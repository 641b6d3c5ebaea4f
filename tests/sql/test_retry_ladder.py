"""The whole way of a delivery that keeps failing, on a clock that stands still between the steps.

Due times are exact: a delivery is not claimed one microsecond before, and claimed when it is due.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from engine import (
    Connection,
    attempts_of,
    claim,
    claim_one,
    configure,
    insert,
    look,
    operate,
    record,
)
from frozen_clock import START, set_clock, standing_still

pytestmark = pytest.mark.anyio

MOMENT = timedelta(microseconds=1)
ONLY = UUID(int=1)


def seconds(*numbers: float) -> list[timedelta]:
    return [timedelta(seconds=number) for number in numbers]


LADDER = [
    *seconds(5, 30),
    *(timedelta(minutes=minutes) for minutes in (5, 30)),
    *(timedelta(hours=hours) for hours in (2, 5, 10, 14)),
]


@pytest.fixture
async def frozen(unchecked: Connection) -> AsyncIterator[Connection]:
    """A connection to an empty queue whose clock stands at START."""
    async with standing_still(unchecked) as connection:
        yield connection


async def fail(connection: Connection, **report: Any) -> datetime | None:
    """Claim the one delivery that is due and fail it; return when it is due again."""
    (delivery,) = await claim(connection)
    verdict = await record(connection, delivery, "temporary", **report)
    assert verdict.verdict == "applied"
    return verdict.next_attempt_at


async def climb(connection: Connection, *, at: datetime = START) -> list[timedelta]:
    """Insert delivery ONLY and fail it until it ends, each time when due; return the waits."""
    await insert(connection, id=ONLY, scheduled_at=at)
    moments = [at]
    await set_clock(connection, at)
    while due := await fail(connection):
        await set_clock(connection, due - MOMENT)
        assert await claim(connection) == []
        await set_clock(connection, due)
        moments.append(due)
    assert await ending(connection, ONLY) == ("cancelled", "retries_exhausted")
    return [later - earlier for earlier, later in pairwise(moments)]


async def ending(connection: Connection, delivery_id: UUID) -> tuple[str, str | None]:
    row = await look(connection, delivery_id)
    return row["status"], row["suppression_reason"]


async def test_ladder_of_days_is_climbed_rung_by_rung(frozen: Connection) -> None:
    await configure(frozen, backoff_schedule=LADDER, max_attempts=len(LADDER) + 1)

    assert await climb(frozen) == LADDER


async def test_every_rung_of_the_ladder_is_an_attempt_in_the_history(frozen: Connection) -> None:
    await configure(frozen, backoff_schedule=LADDER, max_attempts=len(LADDER) + 1)

    await climb(frozen)

    attempts = await attempts_of(frozen, ONLY)
    assert [attempt["attempt_number"] for attempt in attempts] == list(range(1, len(LADDER) + 2))
    waits = [
        attempt["next_attempt_at"] - attempt["finished_at"]
        for attempt in attempts
        if attempt["next_attempt_at"]
    ]
    assert waits == LADDER
    assert attempts[-1]["next_attempt_at"] is None


async def test_last_wait_of_a_schedule_repeats(frozen: Connection) -> None:
    await configure(frozen, backoff_schedule=seconds(1, 7), max_attempts=6)

    assert await climb(frozen) == seconds(1, 7, 7, 7, 7)


async def test_schedule_longer_than_the_attempts_is_cut(frozen: Connection) -> None:
    await configure(frozen, backoff_schedule=LADDER, max_attempts=3)

    assert await climb(frozen) == LADDER[:2]


async def test_single_attempt_has_no_ladder(frozen: Connection) -> None:
    await configure(frozen, max_attempts=1)

    assert await climb(frozen) == []


@pytest.mark.parametrize(
    ("factor", "waits"),
    [(1.0, (10, 10, 10, 10)), (2.0, (10, 20, 40, 80)), (1.5, (10, 15, 22.5, 33.75))],
)
async def test_wait_grows_by_the_factor(
    frozen: Connection, factor: float, waits: Sequence[float]
) -> None:
    await configure(frozen, backoff_base=timedelta(seconds=10), backoff_factor=factor)

    assert await climb(frozen) == seconds(*waits)


@pytest.mark.parametrize(
    ("cap", "waits"), [(120, (30, 60, 120, 120)), (119, (30, 60, 119, 119)), (7, (7, 7, 7, 7))]
)
async def test_wait_grows_up_to_the_cap(
    frozen: Connection, cap: int, waits: Sequence[float]
) -> None:
    await configure(frozen, backoff_cap=timedelta(seconds=cap))

    assert await climb(frozen) == seconds(*waits)


async def test_cap_holds_after_a_hundred_attempts(frozen: Connection) -> None:
    await configure(frozen, backoff_factor=10.0, max_attempts=100, backoff_cap=timedelta(hours=6))

    waits = await climb(frozen)

    assert len(waits) == 99
    assert set(waits[4:]) == {timedelta(hours=6)}


@pytest.mark.parametrize("max_attempts", [2, 7])
async def test_attempts_that_the_row_allows_win_over_the_channels(
    frozen: Connection, max_attempts: int
) -> None:
    await configure(frozen, max_attempts=5, backoff_factor=1.0)
    await insert(frozen, max_attempts=max_attempts, scheduled_at=START)

    failures = 0
    while due := await fail(frozen):
        failures += 1
        await set_clock(frozen, due)

    assert failures + 1 == max_attempts


# Without a limit of age the retries come after 30, 90, 210 and 450 seconds.
@pytest.mark.parametrize(
    ("max_age", "retries"), [(29, 0), (30, 1), (89, 1), (90, 2), (209, 2), (210, 3), (450, 4)]
)
async def test_max_age_cuts_the_ladder(frozen: Connection, max_age: int, retries: int) -> None:
    await configure(frozen, max_age=timedelta(seconds=max_age))

    assert await climb(frozen) == seconds(30, 60, 120, 240)[:retries]


async def test_max_age_cuts_to_the_microsecond(frozen: Connection) -> None:
    await configure(frozen, max_age=timedelta(seconds=90) - MOMENT)

    assert await climb(frozen) == seconds(30)


async def test_max_age_counts_from_when_the_delivery_was_to_be_sent(frozen: Connection) -> None:
    await configure(frozen, max_age=timedelta(seconds=90))

    assert await climb(frozen, at=START + timedelta(days=3)) == seconds(30, 60)


async def test_replay_begins_the_ladder_and_the_age_anew(frozen: Connection) -> None:
    await configure(frozen, max_age=timedelta(seconds=90))
    await climb(frozen)
    replayed_at = START + timedelta(days=3)
    await set_clock(frozen, replayed_at)

    await operate(frozen, "replay", ONLY, "ops")

    assert await fail(frozen) == replayed_at + timedelta(seconds=30)
    await set_clock(frozen, replayed_at + timedelta(seconds=30))
    assert await fail(frozen) == replayed_at + timedelta(seconds=90)


@pytest.mark.parametrize(
    ("retry_after", "wait"),
    [(0, 30), (29, 30), (30, 30), (31, 31), (3599, 3599), (3600, 3600), (3601, 3600)],
)
async def test_retry_after_makes_the_wait_longer_up_to_its_cap(
    frozen: Connection, retry_after: int, wait: int
) -> None:
    await configure(frozen, retry_after_cap=timedelta(hours=1), backoff_cap=timedelta(minutes=1))
    await insert(frozen, scheduled_at=START)

    due = await fail(frozen, retry_after=timedelta(seconds=retry_after))

    assert due == START + timedelta(seconds=wait)


async def test_retry_after_beyond_max_age_ends_the_delivery(frozen: Connection) -> None:
    await configure(frozen, max_age=timedelta(hours=1))
    delivery_id = await insert(frozen, scheduled_at=START)

    due = await fail(frozen, retry_after=timedelta(hours=1) + MOMENT)

    assert due is None
    assert await ending(frozen, delivery_id) == ("cancelled", "retries_exhausted")


async def test_retry_after_does_not_change_the_waits_that_follow(frozen: Connection) -> None:
    await configure(frozen)
    await insert(frozen, scheduled_at=START)

    due = await fail(frozen, retry_after=timedelta(minutes=10))
    assert due is not None
    await set_clock(frozen, due)

    assert await fail(frozen) == due + timedelta(seconds=60)


async def test_wait_begins_where_the_call_ended(frozen: Connection) -> None:
    await configure(frozen)
    delivery = await claim_one(frozen, scheduled_at=START)
    await set_clock(frozen, START + timedelta(seconds=20))

    verdict = await record(frozen, delivery, "temporary", finished_ago=15)

    assert verdict.next_attempt_at == START + timedelta(seconds=5 + 30)
