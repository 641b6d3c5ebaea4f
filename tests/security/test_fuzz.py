"""Anything that a stranger says is classified: hypothesis looks for what nobody thinks of."""

import json
import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as some

from chimewayd.adapters import exit_outcome, http_outcome
from chimewayd.adapters.evidence import clean
from chimewayd.adapters.http_request import target
from chimewayd.adapters.mail_address import parse_address
from chimewayd.models import Outcome

UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")

TEXTS = some.text(some.characters(), max_size=200)
quickly = settings(deadline=None, max_examples=150)


@quickly
@given(some.integers(-10, 2000), some.dictionaries(TEXTS, TEXTS, max_size=4), TEXTS, TEXTS)
def test_any_http_answer_is_an_outcome(
    status: int, headers: dict[str, str], retry_after: str, excerpt: str
) -> None:
    said = headers | {"Retry-After": retry_after, "Location": excerpt}

    outcome = http_outcome.classify(status, said, clean(excerpt), datetime.now(UTC))

    assert isinstance(outcome, Outcome)
    assert UNPRINTABLE.findall(getattr(outcome, "detail", "") or "") == []


@quickly
@given(some.one_of(TEXTS, some.from_regex(r"[+-]?\d{1,400}(\.\d+)?", fullmatch=True), some.none()))
def test_any_retry_after_is_a_wait_within_bounds_or_none(text: str | None) -> None:
    wait = http_outcome.parse_retry_after(text, datetime.now(UTC))

    assert wait is None or timedelta() <= wait <= http_outcome.LONGEST_RETRY_AFTER


@quickly
@given(some.one_of(TEXTS, TEXTS.map("http://{}".format), TEXTS.map("https://x/{}".format)))
def test_any_recipient_is_a_url_with_a_host_or_refused(text: str) -> None:
    with suppress(ValueError):
        url = target(text)

        assert url.scheme in {"http", "https"}
        assert url.host
        assert not url.user


ODD = some.one_of(TEXTS, some.floats(), some.integers(), some.booleans(), some.none())
SAID = some.dictionaries(
    some.sampled_from(["detail", "provider_message_id", "retry_after_seconds", "x"]), ODD
).map(lambda said: json.dumps(said).encode())


@quickly
@given(some.integers(-64, 300), some.one_of(some.binary(max_size=500), SAID))
def test_any_end_of_a_command_is_an_outcome(status: int, output: bytes) -> None:
    outcome = exit_outcome.judge(status, output, clean(output))

    assert isinstance(outcome, Outcome)
    told = [getattr(outcome, name, None) or "" for name in ("detail", "response")]
    assert UNPRINTABLE.findall("".join(told)) == []


@quickly
@given(TEXTS)
def test_any_text_is_one_mail_address_or_refused(text: str) -> None:
    with suppress(ValueError):
        address = parse_address(text)

        assert UNPRINTABLE.findall(str(address)) == []
