"""The canonical log line of one call."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from deliveries import delivery

from chimewayd.attempt_line import attempt_line
from chimewayd.log import Event
from chimewayd.models import (
    Bounced,
    Outcome,
    Permanent,
    Report,
    Succeeded,
    Temporary,
    Throttled,
    TimedOut,
    Unclassified,
    Verdict,
)

LATER = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def report(outcome: Outcome, **columns: Any) -> Report:
    return Report(delivery(**columns), outcome, started=10.0, finished=10.25)


def verdict(status: str | None, verdict: str = "applied", reason: str | None = None) -> Verdict:
    due = LATER if status == "failed" else None
    return Verdict(verdict, status, reason, due)


def test_line_of_a_success_has_what_an_operator_greps_for() -> None:
    call = report(
        Succeeded(status_code=200, provider_message_id="m-1"),
        notification_key="order.shipped",
        tenant_id="acme",
        correlation_id="trace-1",
    )

    (level, event), fields = attempt_line(call, verdict("succeeded"), 5)

    assert (level, event) == ("info", Event.ATTEMPT_RECORDED)
    assert fields == {
        "delivery_id": str(call.delivery.delivery_id),
        "channel": "hooks",
        "attempt": 1,
        "max_attempts": 5,
        "outcome": "succeeded",
        "status": "succeeded",
        "duration_ms": 250.0,
        "status_code": 200,
        "provider_message_id": "m-1",
        "notification_key": "order.shipped",
        "tenant_id": "acme",
        "correlation_id": "trace-1",
    }


def test_line_leaves_out_what_is_not_known() -> None:
    call = report(Succeeded())

    _, fields = attempt_line(call, verdict("succeeded"), 5)

    assert None not in fields.values()


def test_line_of_a_retry_says_why_and_when_it_goes_on() -> None:
    call = report(Throttled(detail="slow down", retry_after=timedelta(seconds=90)))

    (level, event), fields = attempt_line(call, verdict("failed"), 5)

    assert (level, event) == ("warning", Event.ATTEMPT_RECORDED)
    assert fields["next_attempt_at"] == LATER
    assert fields["retry_after_seconds"] == 90.0
    assert fields["detail"] == "slow down"


@pytest.mark.parametrize(("row", "said"), [(3, 3), (None, 5)])
def test_line_shows_the_limit_of_the_row_or_else_of_the_channel(row: int | None, said: int) -> None:
    call = report(Temporary(), max_attempts=row)

    _, fields = attempt_line(call, verdict("failed"), 5)

    assert fields["max_attempts"] == said


def test_line_counts_the_attempts_of_the_series() -> None:
    call = report(Temporary(), attempt_number=7, attempts_before=5)

    _, fields = attempt_line(call, verdict("failed"), 5)

    assert fields["attempt"] == 2


@dataclass(frozen=True)
class Ending:
    outcome: Outcome
    status: str
    reason: str | None
    level: str
    said: str


@pytest.mark.parametrize(
    "ending",
    [
        Ending(Temporary(), "failed", None, "warning", "temporary"),
        Ending(TimedOut(), "failed", None, "warning", "timeout_after_send"),
        Ending(TimedOut(request_sent=False), "failed", None, "warning", "timeout"),
        Ending(Unclassified(), "failed", None, "error", "unclassified"),
        Ending(Permanent(), "cancelled", "permanent_failure", "error", "permanent"),
        Ending(Bounced(), "cancelled", "bounced", "error", "bounced"),
        Ending(Temporary(), "cancelled", "retries_exhausted", "error", "temporary"),
    ],
    ids=lambda ending: f"{ending.said} {ending.status}",
)
def test_line_is_as_loud_as_the_end_it_tells_of(ending: Ending) -> None:
    call = report(ending.outcome)

    (level, _), fields = attempt_line(call, verdict(ending.status, reason=ending.reason), 5)

    assert level == ending.level
    assert fields["outcome"] == ending.said
    assert fields.get("reason") == ending.reason


def test_line_of_a_repeated_record_is_that_of_the_first() -> None:
    call = report(Succeeded())

    first = attempt_line(call, verdict("succeeded"), 5)
    again = attempt_line(call, verdict("succeeded", "already_applied"), 5)

    assert again == first


@pytest.mark.parametrize(("word", "status"), [("stale", "dispatched"), ("gone", None)])
def test_line_of_an_outcome_that_came_too_late_says_so(word: str, status: str | None) -> None:
    call = report(Succeeded())

    (level, event), fields = attempt_line(call, verdict(status, word), 5)

    assert (level, event) == ("warning", Event.OUTCOME_STALE)
    assert fields["verdict"] == word


def test_line_carries_the_trace_of_the_producer() -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    traced = report(Succeeded(), metadata_json=f'{{"traceparent": "{trace}"}}')

    _, fields = attempt_line(traced, verdict("succeeded"), 5)

    assert fields["traceparent"] == trace
