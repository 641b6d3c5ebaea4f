"""The canonical log line: one for each call, with everything an operator greps for."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from operator import itemgetter
from typing import Any

from chimewayd.counts import LATE
from chimewayd.log import Event
from chimewayd.models import Delivery, Outcome, Report, Status, Unclassified, Verdict, kind_of
from chimewayd.traceparent import traceparent_of

Fields = dict[str, Any]
Lines = Mapping[tuple[str, Event], Sequence[Fields]]
"""Fields of lines by level and event, as `log.emit_many` takes them."""

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
_SUCCEEDED = ("info", Event.ATTEMPT_RECORDED)
_STALE = ("warning", Event.OUTCOME_STALE)

# Of a tuple one look at several columns costs little more than one at a single one by its name.
_columns = itemgetter(
    *map(
        Delivery._fields.index,
        (
            *("delivery_id", "channel", "attempt_number", "attempts_before", "max_attempts"),
            *("notification_key", "tenant_id", "correlation_id", "metadata_json"),
        ),
    )
)


def attempt_lines(
    reports: Sequence[Report], verdicts: Sequence[Verdict], max_attempts: Mapping[str, int]
) -> Lines:
    """Describe recorded calls; `max_attempts` is that of each channel."""
    lines: defaultdict[tuple[str, Event], list[Fields]] = defaultdict(list)
    for report, verdict in zip(reports, verdicts, strict=True):
        kind, fields = attempt_line(report, verdict, max_attempts[report.delivery.channel])
        lines[kind].append(fields)
    return lines


def attempt_line(
    report: Report, verdict: Verdict, channel_max_attempts: int
) -> tuple[tuple[str, Event], Fields]:
    """Describe one recorded call; a row without a limit of its own has its channel's."""
    delivery, outcome, started, finished = report
    delivery_id, channel, number, before, max_attempts, *ids, metadata_json = _columns(delivery)
    fields: Fields = {
        "delivery_id": str(delivery_id),
        "channel": channel,
        "attempt": number - before,
        "max_attempts": max_attempts or channel_max_attempts,
        "outcome": kind_of(outcome),
        "status": verdict.status,
        "duration_ms": int((finished - started) * 1e6) / 1e3,
    }
    told = (
        outcome.status_code,
        verdict.suppression_reason,
        outcome.detail,
        verdict.next_attempt_at,
        getattr(outcome, "retry_after", None),
        getattr(outcome, "provider_message_id", None),
        *ids,
    )
    # Of most calls there is nothing to tell: one comparison then, and not one for each field.
    if told != NOTHING:
        fields |= _named(told)
    if (traceparent := traceparent_of(metadata_json)) is not None:
        fields["traceparent"] = traceparent
    if verdict.verdict in LATE:
        return _STALE, fields | {"verdict": verdict.verdict}
    if verdict.status == Status.SUCCEEDED:
        return _SUCCEEDED, fields
    return (_level(outcome, verdict), Event.ATTEMPT_RECORDED), fields


def _named(told: tuple[object, ...]) -> dict[str, object]:
    fields = {n: value for n, value in zip(SOMETIMES, told, strict=True) if value is not None}
    if "retry_after_seconds" in fields:
        seconds = _seconds(fields.pop("retry_after_seconds"))
        return fields if seconds is None else fields | {"retry_after_seconds": seconds}
    return fields


def _level(outcome: Outcome, verdict: Verdict) -> str:
    # An outcome that nobody understood is a bug somewhere, however the delivery goes on.
    if isinstance(outcome, Unclassified) or verdict.status == Status.CANCELLED:
        return "error"
    return "warning"


def _seconds(length: object) -> float | None:
    # An adapter of somebody else may put anything there; the log line must not fail for it.
    return length.total_seconds() if isinstance(length, timedelta) else None
