"""What the stages count, in plain numbers: once a batch, and whether or not anybody reads them.

    claim, record, sweep, listen ──▶ Counts ──▶ metrics, status, when they are asked for

A counter that is told of each delivery costs a microsecond a delivery; a batch that is counted
as a whole costs a fifth of that.
"""

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from chimewayd.models import Delivery, Outcome, OutcomeKind, Report, Status, Verdict

CALL_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
STATEMENT_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
PICKUP_SECONDS: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0),
    *(2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0),
)
DELIVERY_SECONDS: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
    *(10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 28800.0, 86400.0),
)
"""Retries may take days."""
BATCH_SIZES: Final = (0.0, 1.0, 5.0, 25.0, 100.0, 250.0, 500.0)

ASKED_FOR: Final = "asked_for"
"""How a delivery ended whose cancel or suppress came during its call. The reason is an operator's
own text, and no name for a time series.
"""

REASONS: Final = frozenset(
    {"retries_exhausted", "permanent_failure", "bounced", "outcome_unknown", "expired"}
)

LATE: Final = ("stale", "gone")
"""Verdicts on an outcome whose lease was lost: history, and no change of state."""

ENDINGS: Final = (Status.SUCCEEDED, *sorted(REASONS), ASKED_FOR)
OUTCOMES: Final = tuple(kind for kind in OutcomeKind if kind != OutcomeKind.TIMEOUT_AFTER_SEND)
"""A timeout is a timeout, whatever had been sent."""


class Wakeup(StrEnum):
    """What woke the claim stage."""

    BELL = "bell"
    """A notification, room on a channel, or a retry that falls due sooner."""
    DUE = "due"
    """The next due time."""
    DOZE = "doze"
    """A transaction is under way that will not ring."""
    POLL = "poll"
    """Nothing: it was time to look."""


class Histogram:
    """How many values lie up to each bound and above the one before; the last has no bound."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def add_all(self, values: list[float]) -> None:
        """Count a batch: one search for each bound or for each value, whichever are fewer."""
        if len(values) <= len(self.bounds):
            for value in values:
                self.add(value)
            return
        values.sort()
        self.sum += sum(values)
        below = 0
        for nth, bound in enumerate(self.bounds):
            up_to = bisect_right(values, bound)
            self.counts[nth] += up_to - below
            below = up_to
        self.counts[-1] += len(values) - below


@dataclass(slots=True)
class Listening:
    """What the listener is at."""

    is_connected: bool = False
    is_deaf: bool = False
    connections: int = 0
    notifications: int = 0
    roundtrip_seconds: float | None = None
    """From the last notification to ourselves until we heard it."""


@dataclass(slots=True)
class Counts:
    """All that is counted since the process began."""

    attempts: Counter[tuple[str, type[Outcome]]] = field(default_factory=Counter)
    """By channel and outcome."""
    deferred: Counter[str] = field(default_factory=Counter)
    """Deliveries that went back because their host had all its calls under way, by channel."""
    late: Counter[str] = field(default_factory=Counter)
    """Outcomes that came after their lease was lost, by channel."""
    ended: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Deliveries that ended here, by channel and how."""
    call_seconds: defaultdict[str, Histogram] = field(
        default_factory=lambda: defaultdict(lambda: Histogram(CALL_SECONDS))
    )
    pickup_seconds: defaultdict[str, Histogram] = field(
        default_factory=lambda: defaultdict(lambda: Histogram(PICKUP_SECONDS))
    )
    """From due to the claim of the first call, by channel."""
    delivery_seconds: defaultdict[str, Histogram] = field(
        default_factory=lambda: defaultdict(lambda: Histogram(DELIVERY_SECONDS))
    )
    """From due to a success that is recorded, by channel."""
    claim_seconds: Histogram = field(default_factory=lambda: Histogram(STATEMENT_SECONDS))
    claim_sizes: Histogram = field(default_factory=lambda: Histogram(BATCH_SIZES))
    record_seconds: Histogram = field(default_factory=lambda: Histogram(STATEMENT_SECONDS))
    wakeups: Counter[Wakeup] = field(default_factory=Counter)
    rescued: int = 0
    """Deliveries that we took from daemons that are gone."""
    leases_lost: int = 0
    listening: Listening = field(default_factory=Listening)

    def claimed(self, deliveries: Sequence[Delivery], seconds: float) -> None:
        """Count a claim that was answered."""
        self.claim_sizes.add(len(deliveries))
        self.claim_seconds.add(seconds)
        waits = defaultdict(list)
        for one in deliveries:
            # How late a retry is, only its job knew.
            if one.attempt_number == one.attempts_before + 1:
                waits[one.channel].append(one.waited_seconds)
        for channel, ours in waits.items():
            self.pickup_seconds[channel].add_all(ours)

    def recorded(
        self, reports: Sequence[Report], verdicts: Sequence[Verdict], seconds: float
    ) -> None:
        """Count calls that ended and were written down, each with its verdict."""
        self.record_seconds.add(seconds)
        alike = Counter(
            [
                (r.delivery.channel, r.outcome.__class__, v.verdict, v.status, v.suppression_reason)
                for r, v in zip(reports, verdicts, strict=True)
            ]
        )
        for (channel, outcome, verdict, status, reason), count in alike.items():
            self.attempts[channel, outcome] += count
            if verdict in LATE:
                self.late[channel] += count
            elif (how := ending(status, reason)) is not None:
                self.ended[channel, how] += count
        channels = {channel for channel, *_ in alike}
        for channel in channels:
            ours = reports
            if len(channels) > 1:
                ours = [report for report in reports if report.delivery.channel == channel]
            self.call_seconds[channel].add_all([r.finished - r.started for r in ours])

    def delivered(
        self,
        reports: Sequence[Report],
        verdicts: Sequence[Verdict],
        claimed_at: Mapping[int, float],
        now: float,
    ) -> None:
        """Count how long those took that succeeded; `claimed_at` is when each claim was made."""
        succeeded = Status.SUCCEEDED
        took = defaultdict(list)
        for report, verdict in zip(reports, verdicts, strict=True):
            if verdict.status == succeeded and verdict.verdict not in LATE:
                one = report.delivery
                # A claim that others took may be gone here and its outcome be recorded before.
                waited = now - claimed_at.get(one.claim_id, now) + one.waited_seconds
                took[one.channel].append(waited)
        for channel, ours in took.items():
            self.delivery_seconds[channel].add_all(ours)


def attempts(counts: Counts) -> Counter[tuple[str, str]]:
    """Return the attempts by channel and kind of outcome: several outcomes may be of one kind."""
    by_kind: Counter[tuple[str, str]] = Counter()
    for (channel, outcome), count in counts.attempts.items():
        by_kind[channel, str(outcome.kind)] += count
    return by_kind


def ending(status: str | None, reason: str | None) -> str | None:
    """Name how a delivery ended; None: it did not end."""
    match status:
        case Status.SUCCEEDED:
            return Status.SUCCEEDED
        case Status.CANCELLED | Status.SUPPRESSED:
            return reason if reason in REASONS else ASKED_FOR
        case _:
            return None
