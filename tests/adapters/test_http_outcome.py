"""What an HTTP answer means: plain decisions against tables."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimewayd.adapters.http_outcome import LONGEST_RETRY_AFTER, classify, parse_retry_after
from chimewayd.models import Permanent, Unsubscribed

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        (None, None),
        ("", None),
        ("0", timedelta()),
        ("007", timedelta(seconds=7)),
        (" 120 ", timedelta(minutes=2)),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
        ("²", None),
        ("9" * 20, LONGEST_RETRY_AFTER),
        ("9" * 9000, LONGEST_RETRY_AFTER),
        ("Wed, 04 Mar 2026 05:07:07 GMT", timedelta(minutes=1)),
        ("Wednesday, 04-Mar-26 05:07:07 GMT", timedelta(minutes=1)),
        ("Wed Mar  4 05:07:07 2026", timedelta(minutes=1)),
        ("Wed, 04 Mar 2026 05:05:07 GMT", None),
        ("Wed, 04 Mar 9999 05:05:07 GMT", LONGEST_RETRY_AFTER),
        ("Wed, 99 Mar 2026 05:05:07 GMT", None),
    ],
)
def test_retry_after_is_read_in_each_form(text: str | None, wait: timedelta | None) -> None:
    assert parse_retry_after(text, NOW) == wait


@given(st.text() | st.from_regex(r"\w{3}, \d+ \w{3} \d+ \d+:\d+:\d+ [+-]?\w*"))
def test_retry_after_never_raises_and_never_goes_back(text: str) -> None:
    wait = parse_retry_after(text, NOW)

    assert wait is None or timedelta() <= wait <= LONGEST_RETRY_AFTER


@given(st.datetimes(min_value=datetime(2026, 3, 5), max_value=datetime(2027, 1, 1)))  # noqa: DTZ001 - hypothesis wants naive bounds
def test_retry_after_reads_the_standard_librarys_dates(moment: datetime) -> None:
    moment = moment.replace(microsecond=0, tzinfo=UTC)

    assert parse_retry_after(format_datetime(moment, usegmt=True), NOW) == moment - NOW


@pytest.mark.parametrize(
    ("location", "named"),
    [
        ("/a/b?token=1", "to /a/b"),
        ("//h.example/p?token=1", "to //h.example/p"),
        ("http://[broken", "to an unreadable target"),
        ("https://u:p@h.example:8443/" + "x/" * 4500, "to https://h.example:8443/x/x/"),
        ("https://h.example/t/" + "k" * 24 + "/", "to https://h.example/t/***/"),
        ("?token=1", "to an unreadable target"),
    ],
)
def test_redirect_target_is_named_without_its_secrets(location: str, named: str) -> None:
    outcome = classify(302, {"Location": location}, None, NOW)

    assert outcome.detail is not None
    assert named in outcome.detail
    assert "token" not in outcome.detail
    assert len(outcome.detail) < 300


def test_receiver_that_wants_nothing_any_more_is_heard_in_a_redirect_too() -> None:
    said = {"Location": "https://h.example/closed", "webhook-delivery": "disable"}

    assert type(classify(302, said, None, NOW)) is Unsubscribed
    assert type(classify(302, said, None, NOW, suppresses=False)) is Permanent
