"""The canonical log line: one for each call, with everything an operator greps for."""

from datetime import timedelta
from typing import Any

from chimewayd.log import Event
from chimewayd.models import Report, Status, Unclassified, Verdict, kind_of
from chimewayd.traceparent import traceparent_of

Line = tuple[str, Event, dict[str, Any]]
"""Level, event and fields, as `log.emit_many` takes them."""

SOMETIMES = (
    "status_code",
    "reason",
    "detail",
    "next_attempt_at",
    "retry_after_seconds",
    "provider_message_id",
    "notification_key",
    "tenant_id",
    "correlation_id",
)
NOTHING = (None,) * len(SOMETIMES)


def attempt_line(report: Report, verdict: Verdict, channel_max_attempts: int) -> Line:
    """Describe one recorded call; a row without a limit of its own has its channel's."""
    delivery, outcome = report.delivery, report.outcome
    fields: dict[str, Any] = {
        "delivery_id": str(delivery.delivery_id),
        "channel": delivery.channel,
        "attempt": delivery.attempt_number - delivery.attempts_before,
        "max_attempts": delivery.max_attempts or channel_max_attempts,
        "outcome": kind_of(outcome),
        "status": verdict.status,
        "duration_ms": round((report.finished - report.started) * 1000, 3),
    }
    told = (
        outcome.status_code,
        verdict.suppression_reason,
        outcome.detail,
        verdict.next_attempt_at,
        getattr(outcome, "retry_after", None),
        getattr(outcome, "provider_message_id", None),
        delivery.notification_key,
        delivery.tenant_id,
        delivery.correlation_id,
    )
    # Of most calls there is nothing to tell: one comparison then, and not one for each field.
    if told != NOTHING:
        fields |= _named(told)
    if (traceparent := traceparent_of(delivery.metadata_json)) is not None:
        fields["traceparent"] = traceparent
    if verdict.verdict in ("stale", "gone"):
        return "warning", Event.OUTCOME_STALE, fields | {"verdict": verdict.verdict}
    return _level(report, verdict), Event.ATTEMPT_RECORDED, fields


def _named(told: tuple[object, ...]) -> dict[str, object]:
    fields = {n: value for n, value in zip(SOMETIMES, told, strict=True) if value is not None}
    if "retry_after_seconds" in fields:
        seconds = _seconds(fields.pop("retry_after_seconds"))
        return fields if seconds is None else fields | {"retry_after_seconds": seconds}
    return fields


def _level(report: Report, verdict: Verdict) -> str:
    if verdict.status == Status.SUCCEEDED:
        return "info"
    # An outcome that nobody understood is a bug somewhere, however the delivery goes on.
    if isinstance(report.outcome, Unclassified) or verdict.status == Status.CANCELLED:
        return "error"
    return "warning"


def _seconds(length: object) -> float | None:
    # An adapter of somebody else may put anything there; the log line must not fail for it.
    return length.total_seconds() if isinstance(length, timedelta) else None
