"""When a breaker opens: a share of failed calls, over a time, of enough calls."""

import tracemalloc
from datetime import timedelta

import pytest

from chimewayd.config_channel import BreakerPolicy
from chimewayd.failure_window import FailureWindow
from chimewayd.models import OutcomeKind

SUCCEEDED, TEMPORARY = OutcomeKind.SUCCEEDED, OutcomeKind.TEMPORARY


def window(**policy: object) -> FailureWindow:
    """Half of at least ten calls within a minute, but for what is given."""
    given = {"failure_ratio": 0.5, "min_calls": 10, "window": timedelta(minutes=1)} | policy
    return FailureWindow(BreakerPolicy.model_validate(given))


def test_share_that_is_reached_opens_and_tells_the_numbers() -> None:
    assert window().note({SUCCEEDED: 5, TEMPORARY: 4, OutcomeKind.TIMEOUT: 1}, 0) == (
        "5 of 10 calls within 1m failed (temporary 4, timeout 1); failure_ratio is 0.5"
    )


def test_smaller_share_does_not() -> None:
    assert window().note({SUCCEEDED: 6, TEMPORARY: 5}, 0) is None


def test_few_calls_say_nothing() -> None:
    assert window().note({TEMPORARY: 9}, 0) is None


def test_batches_add_up() -> None:
    counts = window()
    assert counts.note({TEMPORARY: 5}, 0) is None

    assert counts.note({TEMPORARY: 5}, 59) is not None


def test_what_is_older_than_the_window_is_forgotten() -> None:
    counts = window()
    counts.note({TEMPORARY: 9}, 0)

    assert counts.note({TEMPORARY: 9}, 60) is None


def test_old_successes_are_forgotten_as_well() -> None:
    counts = window()
    counts.note({SUCCEEDED: 1000}, 0)

    assert counts.note({TEMPORARY: 10}, 61) is not None


def test_counting_begins_anew_once_it_opened() -> None:
    counts = window()
    counts.note({TEMPORARY: 10}, 0)

    assert counts.note({TEMPORARY: 9}, 1) is None


@pytest.mark.parametrize("kind", OutcomeKind)
def test_recipient_who_refuses_is_no_failure_of_the_provider(kind: OutcomeKind) -> None:
    answers = {"succeeded", "permanent", "bounced", "unsubscribed"}

    assert (window().note({kind: 10}, 0) is None) == (kind in answers)


def test_long_window_of_a_busy_channel_takes_little_memory() -> None:
    counts = window(window=timedelta(hours=1))
    tracemalloc.start()
    try:
        for tick in range(100_000):
            counts.note({SUCCEEDED: 1}, tick / 100)
        assert tracemalloc.get_traced_memory()[0] < 1_000_000
    finally:
        tracemalloc.stop()
