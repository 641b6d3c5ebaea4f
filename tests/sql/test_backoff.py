"""backoff: the wait after so many failures, before and with jitter."""

from datetime import timedelta
from typing import Any

import pytest
from engine import Connection, configure

pytestmark = pytest.mark.anyio


async def wait(connection: Connection, failures: int, random: float = 0.5, **policy: Any) -> float:
    """Return the wait in seconds."""
    await configure(connection, **policy)
    interval: timedelta = await connection.fetchval(
        "select chimeway.backoff(c, $1, $2) from chimeway.channels as c", failures, random
    )
    return interval.total_seconds()


async def test_wait_grows_by_the_factor(connection: Connection) -> None:
    waits = [await wait(connection, n, backoff_factor=8.0) for n in (1, 2, 3)]

    assert waits == [30, 240, 1920]


async def test_wait_stops_growing_at_the_cap(connection: Connection) -> None:
    cap = timedelta(minutes=10)

    waits = [await wait(connection, n, backoff_cap=cap) for n in (5, 6, 50)]

    assert waits == [480, 600, 600]


@pytest.mark.parametrize("factor", [1.0, 8.0, 100.0])
async def test_hundredth_wait_is_still_a_number(connection: Connection, factor: float) -> None:
    expected = 30 if factor == 1 else 6 * 3600

    assert await wait(connection, 100, backoff_factor=factor) == expected


async def test_schedule_is_followed_and_its_last_wait_repeats(connection: Connection) -> None:
    schedule = [timedelta(seconds=5), timedelta(minutes=1)]

    waits = [await wait(connection, n, backoff_schedule=schedule) for n in (1, 2, 3, 99)]

    assert waits == [5, 60, 60, 60]


@pytest.mark.parametrize(
    ("random", "expected"), [(0.0, 24.0), (0.25, 27.0), (0.5, 30.0), (0.75, 33.0), (1.0, 36.0)]
)
async def test_jitter_spreads_the_wait_evenly_within_its_share(
    connection: Connection, random: float, expected: float
) -> None:
    assert await wait(connection, 1, random, backoff_jitter=0.2) == pytest.approx(expected)


async def test_jitter_applies_to_a_schedule_too(connection: Connection) -> None:
    schedule = [timedelta(seconds=10)]

    shortest = await wait(connection, 1, 0.0, backoff_schedule=schedule, backoff_jitter=0.5)

    assert shortest == pytest.approx(5)


async def test_drawn_waits_fill_the_share_and_never_leave_it(connection: Connection) -> None:
    await configure(connection, backoff_jitter=0.2)

    rows = await connection.fetch(
        "select extract(epoch from chimeway.backoff(c, 1, random()))::float8 as seconds "
        "from chimeway.channels as c, generate_series(1, 2000)"
    )

    waits = [row["seconds"] for row in rows]
    assert 24 <= min(waits) < 25
    assert 35 < max(waits) <= 36
    assert sum(waits) / len(waits) == pytest.approx(30, abs=0.5)
