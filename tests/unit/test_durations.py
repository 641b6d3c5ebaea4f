"""Durations: what is read, what is refused."""

from datetime import timedelta

import pytest

from chimewayd import durations


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("250ms", timedelta(milliseconds=250)),
        ("5s", timedelta(seconds=5)),
        ("1h30m", timedelta(minutes=90)),
        ("1h 30m", timedelta(minutes=90)),
        ("1.5h", timedelta(minutes=90)),
        ("2d", timedelta(days=2)),
        ("0s", timedelta(0)),
    ],
)
def test_a_duration_is_numbers_with_units(text: str, duration: timedelta) -> None:
    assert durations.parse(text) == duration
    assert durations.parse(durations.render(duration)) == duration


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("5", "no unit"),
        ("-5s", "negative"),
        ("", "must be numbers with units"),
        ("nan", "must be numbers with units"),
        ("infs", "must be numbers with units"),
        ("5S", "must be numbers with units"),
        ("5s5s", "must be numbers with units"),
        ("1m1h", "must be numbers with units"),
        ("s", "must be numbers with units"),
        ("9" * 5000 + "d", "must be numbers with units"),
    ],
)
def test_what_is_no_duration_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        durations.parse(text)
