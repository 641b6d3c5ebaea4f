"""The canonical log line: one for each call, with everything an operator greps for."""

from datetime import timedelta
from typing import Any

from chimewayd.log import Event
from chimewayd.models import Report, Status, Unclassified, Verdict, kind_of
from chimewayd.traceparent import traceparent_of

Line = tuple[str, Event, dict[str, Any]]
"""Level, event and fields, as `log.emit_many` takes them."""


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
    sometimes = {
        "status_code": outcome.status_code,
        "reason": verdict.suppression_reason,
        "detail": outcome.detail,
        "next_attempt_at": verdict.next_attempt_at,
        "retry_after_seconds": _seconds(getattr(outcome, "retry_after", None)),
        "provider_message_id": getattr(outcome, "provider_message_id", None),
        "notification_key": delivery.notification_key,
        "tenant_id": delivery.tenant_id,
        "correlation_id": delivery.correlation_id,
    }
    fields |= {name: value for name, value in sometimes.items() if value is not None}
    if (traceparent := traceparent_of(delivery.metadata_json)) is not None:
        fields["traceparent"] = traceparent
    if verdict.verdict in ("stale", "gone"):
        return "warning", Event.OUTCOME_STALE, fields | {"verdict": verdict.verdict}
    return _level(report, verdict), Event.ATTEMPT_RECORDED, fields


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
