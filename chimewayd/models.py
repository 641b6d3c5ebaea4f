"""The values that travel through the daemon: deliveries in, outcomes out, verdicts back.

claim ── Delivery ──▶ run ── Outcome ──▶ record ── Verdict ──▶ one log line
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar, NamedTuple
from uuid import UUID


class Status(StrEnum):
    """States of a delivery (CONTRACT section 4)."""

    PENDING = "pending"
    DISPATCHED = "dispatched"
    FAILED = "failed"
    SUCCEEDED = "succeeded"
    SUPPRESSED = "suppressed"
    CANCELLED = "cancelled"


SUSPECT_AFTER_LOSSES = 2  # sql/functions/settle.sql queues by the same number
"""By then it may be what kills daemons: one of these at a time."""


class Delivery(NamedTuple):
    """One claimed delivery, as `chimeway.claim` returns it, column by column.

    A tuple and not a dataclass: it is made once per delivery on the hottest path, and
    `_make` on the database's own row costs a third of a dataclass.
    """

    delivery_id: UUID
    claim_id: int
    """The fencing token: never reused, shared by the deliveries of one claim."""
    attempt_number: int
    """1..n over the delivery's whole life; replays go on counting."""
    channel: str
    recipient: str
    payload_json: str
    """The payload as JSON text, undecoded: a body that cannot be decoded fails alone."""
    tenant_id: str | None
    notification_key: str | None
    correlation_id: str | None
    idempotency_key: str | None
    metadata_json: str
    """The metadata object as JSON text."""
    max_attempts: int | None
    """Attempts that the row allows in a series; None: as many as its channel allows."""
    attempts_before: int
    """Attempts of earlier series (before the last replay)."""
    lost_count: int
    """Calls of this series whose daemon died."""
    waited_seconds: float = 0.0
    """From when it was due at first (inserted, scheduled, replayed) until this claim."""


class Claimed(NamedTuple):
    """A delivery by name, and the claim that it is under."""

    delivery_id: UUID
    claim_id: int


class Room(NamedTuple):
    """What may be claimed."""

    channels: dict[str, int]
    """So many of each; the first in line comes first."""
    limit: int
    """So many in all."""
    takes_suspect: bool
    """Also one that was lost twice."""


class OutcomeKind(StrEnum):
    """Every way a call can end; `chimeway.outcome_kinds` says what each does to the delivery.

    Missing on purpose: `lost`, which only a rescue writes.
    """

    SUCCEEDED = "succeeded"
    TEMPORARY = "temporary"
    THROTTLED = "throttled"
    PERMANENT = "permanent"
    BOUNCED = "bounced"
    UNSUBSCRIBED = "unsubscribed"
    UNCERTAIN = "uncertain"
    TIMEOUT = "timeout"
    TIMEOUT_AFTER_SEND = "timeout_after_send"
    UNCLASSIFIED = "unclassified"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one attempt came to. Each adapter returns one of the subclasses, never raises.

    `detail` says in a sentence what happened; `status_code` is the provider's (HTTP status,
    SMTP reply, exit status); `response` is a bounded excerpt of what the provider said.
    """

    detail: str | None = None
    status_code: int | None = None
    response: str | None = None

    kind: ClassVar[OutcomeKind] = OutcomeKind.UNCLASSIFIED

    def __init_subclass__(cls) -> None:
        # An adapter's own class: said when it is loaded, for the database would refuse the outcome.
        if cls.kind not in frozenset(OutcomeKind):
            raise TypeError(f"{cls.__name__}.kind is {cls.kind!r}, which is no OutcomeKind")


@dataclass(frozen=True, slots=True, kw_only=True)
class Succeeded(Outcome):
    """The provider accepted the message."""

    provider_message_id: str | None = None

    kind: ClassVar[OutcomeKind] = OutcomeKind.SUCCEEDED


@dataclass(frozen=True, slots=True, kw_only=True)
class Temporary(Outcome):
    """It did not work now and may work later."""

    retry_after: timedelta | None = None

    kind: ClassVar[OutcomeKind] = OutcomeKind.TEMPORARY


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttled(Outcome):
    """The provider asked for less (HTTP 429, SMTP 421, a quota)."""

    retry_after: timedelta | None = None

    kind: ClassVar[OutcomeKind] = OutcomeKind.THROTTLED


@dataclass(frozen=True, slots=True, kw_only=True)
class Permanent(Outcome):
    """It will never work: never retried."""

    kind: ClassVar[OutcomeKind] = OutcomeKind.PERMANENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounced(Outcome):
    """The recipient does not exist or refuses: never retried."""

    kind: ClassVar[OutcomeKind] = OutcomeKind.BOUNCED


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsubscribed(Outcome):
    """The recipient asks for nothing more: never retried, and suppressed on its channel."""

    kind: ClassVar[OutcomeKind] = OutcomeKind.UNSUBSCRIBED


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncertain(Outcome):
    """The request was handed over and no answer came; the channel's `on_uncertain` decides."""

    kind: ClassVar[OutcomeKind] = OutcomeKind.UNCERTAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedOut(Outcome):
    """No answer within the deadline."""

    request_sent: bool = True
    """False only where the adapter knows that nothing was handed over."""

    kind: ClassVar[OutcomeKind] = OutcomeKind.TIMEOUT


@dataclass(frozen=True, slots=True, kw_only=True)
class Misconfigured(Outcome):
    """Our own fault, which only people mend (credentials, a command that is not there).

    No attempt is used; the channel is paused until somebody resumes it.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Unavailable(Outcome):
    """The provider or our way to it is down, whoever the recipient is (relay, DNS, network).

    No attempt is used; the channel's breaker opens, and one delivery at a time tries again.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Unclassified(Outcome):
    """The adapter broke its promise: it raised, or returned something that is no outcome."""


def kind_of(outcome: Outcome) -> OutcomeKind:
    """Say how the call ended, in the words of the database."""
    if isinstance(outcome, TimedOut) and outcome.request_sent:
        return OutcomeKind.TIMEOUT_AFTER_SEND
    return outcome.kind


class Report(NamedTuple):
    """One call that ended, on its way to the database."""

    delivery: Delivery
    outcome: Outcome
    started: float
    """Monotonic clock, seconds."""
    finished: float
    """Monotonic clock, seconds."""


class Verdict(NamedTuple):
    """What `chimeway.record` did with a report; one for all reports that it says the same of."""

    verdict: str
    """applied | already_applied | stale | gone"""
    status: str | None
    suppression_reason: str | None = None
    next_attempt_at: datetime | None = None


class Lost(NamedTuple):
    """One delivery that `chimeway.rescue` took from a daemon that is gone."""

    delivery_id: UUID
    claim_id: int
    daemon_name: str
    status: str
    suppression_reason: str | None
    attempt_number: int
    next_attempt_at: datetime | None


class Unsent(NamedTuple):
    """One claimed delivery that is not called now, on its way back to the queue."""

    delivery: Delivery
    reason: str = "claimed, but not called in time"
    wait: timedelta | None = None
    """How long it is not to be claimed again; None: not at all."""


class OpenBreaker(NamedTuple):
    """One channel that `chimeway.open_breakers` says makes no calls, column by column."""

    channel: str
    opened_at: datetime
    opened_by: str
    reason: str
    retry_at: datetime
    failed_probes: int


class Ended(NamedTuple):
    """One delivery that `chimeway.expire` ended without a call."""

    delivery_id: UUID
    channel: str


class QueueFigures(NamedTuple):
    """What `chimeway.stats` says of one channel."""

    channel: str
    due: int
    scheduled: int
    held: int
    in_flight: int
    oldest_due_seconds: float | None
    """None: nothing is due."""
    succeeded: int
    suppressed: int
    cancelled: int
    is_paused: bool
    daemons: int
    """How many serve it."""
    limited_by: str | None
    """What keeps the channel from calling now: `breaker, …`, `rate`; None: nothing."""
    notify_usage: float
    """Share of the server's notification queue in use: one figure for the whole server."""


class Step(NamedTuple):
    """What one step of retention came to."""

    next_after: UUID | None
    """Where the next one begins; None: that was the last."""
    looked_at: int
    redacted: int
    deleted: int
