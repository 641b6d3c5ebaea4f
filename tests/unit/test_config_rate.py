"""A channel's rate, as people write it."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from chimewayd.config_channel import ChannelConfig


@pytest.mark.parametrize(
    ("text", "calls", "seconds"),
    [
        ("100/min", 100, 60),
        ("1/s", 1, 1),
        ("7 / second", 7, 1),
        ("3/h", 3, 3600),
        ("500/day", 500, 86400),
        ("5/10s", 5, 10),
        ("2/1m30s", 2, 90),
        ("10000/s", 10000, 1),
    ],
)
def test_rate_is_calls_in_a_time(text: str, calls: int, seconds: int) -> None:
    rate = ChannelConfig.model_validate({"adapter": "log", "rate": text}).rate

    assert rate is not None
    assert (rate.calls, rate.per) == (calls, timedelta(seconds=seconds))


@pytest.mark.parametrize(
    "value",
    ["100", "/min", "0/s", "-1/s", "1/0s", "1/year", "10001/s", "1/31d", "1.5/s", 100, True],
)
def test_anything_else_is_refused(value: object) -> None:
    with pytest.raises(ValidationError, match="is no rate"):
        ChannelConfig.model_validate({"adapter": "log", "rate": value})


@pytest.mark.parametrize(
    ("settings", "burst"),
    [
        ({"rate": "100/min"}, 1),
        ({"rate": "600/min"}, 10),
        ({"rate": "50/s"}, 50),
        ({"rate": "100/min", "rate_burst": 30}, 30),
    ],
)
def test_burst_is_what_a_second_allows_unless_it_is_given(
    settings: dict[str, object], burst: int
) -> None:
    assert ChannelConfig.model_validate({"adapter": "log"} | settings).burst == burst
