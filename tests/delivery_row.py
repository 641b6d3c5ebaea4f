"""One delivery of the model, with its job and its history, and what can become of it."""

import math
from dataclasses import dataclass, field
from typing import TypeAlias
from uuid import UUID

from chimewayd.models import Status

Moment: TypeAlias = float
"""Seconds since the epoch; a job's may be infinite, as in the database."""
DUE_AT_ONCE, HELD = -math.inf, math.inf
A_BEAT_SECONDS = 15
"""What was dated so lately was dated since the last heartbeat."""

WAITING = {Status.PENDING, Status.FAILED}
TERMINAL = {Status.SUCCEEDED, Status.SUPPRESSED, Status.CANCELLED}


@dataclass(slots=True, kw_only=True)
class Row:
    """One delivery, its job, and its history."""

    delivery_id: UUID
    channel: str
    recipient: str
    priority: int
    position: int
    max_attempts: int | None
    scheduled_at: Moment
    expires_at: Moment | None
    job: Moment | None
    status: Status = Status.PENDING
    reason: str | None = None
    attempt_count: int = 0
    attempts_before: int = 0
    lost_count: int = 0
    series: int = 1
    token: int | None = None
    requested: tuple[Status, str] | None = None
    next_attempt_at: Moment | None = None
    dated_at: Moment = -math.inf
    """When next_attempt_at was decided by a change of state."""
    attempts: list[tuple[int, int, int, str, str | None]] = field(default_factory=list)
    """Number, series, token, outcome, error class."""
    events: list[str] = field(default_factory=list)
    late: set[int] = field(default_factory=set)  # tokens of late outcomes

    @property
    def is_suspect(self) -> bool:
        return self.lost_count >= 2

    def end(self, status: Status, reason: str | None) -> None:
        self._rest(status)
        self.reason = reason

    def retry(self, at: Moment, now: Moment) -> None:
        self._rest(Status.FAILED)
        self.next_attempt_at = self.job = at
        self.dated_at = now

    def give_back(self, now: Moment) -> None:
        self.attempt_count -= 1
        self.events.append("released_unsent")
        if self.requested:
            self.end(*self.requested)
            return
        untried = self.attempt_count == self.attempts_before
        self._rest(Status.PENDING if untried else Status.FAILED)
        self.next_attempt_at = self.job = self.dated_at = now

    def hold(self) -> bool:
        if self.job == HELD:
            return False
        self.job = HELD
        self.events.append("held")
        return True

    def release(self, now: Moment) -> bool:
        if self.job != HELD:
            return False
        at = self.scheduled_at if self.next_attempt_at is None else self.next_attempt_at
        self.job = self.next_attempt_at = max(at, now)
        self.events.append("released")
        return True

    def replay(self, now: Moment) -> None:
        self._rest(Status.PENDING)
        self.reason = None
        self.attempts_before = self.attempt_count
        self.series += 1
        self.lost_count = 0
        self.scheduled_at = self.next_attempt_at = self.job = self.dated_at = now
        if self.expires_at is not None and self.expires_at <= now:
            self.expires_at = None
        self.events.append("replayed")

    def follow_clock(self, now: Moment, back: float) -> None:
        """Wait as long as was meant, though the clock went back; a schedule means the clock."""
        if self.job is None or self.next_attempt_at is None or self.next_attempt_at <= now:
            return
        if self.next_attempt_at == self.scheduled_at and self.series == 1:
            return
        whole = now + self.next_attempt_at - self.dated_at
        if 0 <= now - self.dated_at <= A_BEAT_SECONDS:
            back = 0  # dated by the clock as it is now
        self.next_attempt_at = max(now, min(self.next_attempt_at - back, whole))
        if self.job != HELD:
            self.job = self.next_attempt_at
        self.dated_at = min(self.dated_at, now)

    def _rest(self, status: Status) -> None:
        self.status = status
        self.token = self.requested = self.next_attempt_at = self.job = None
