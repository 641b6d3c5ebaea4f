"""What the contract says becomes of deliveries, in plain Python: the model of the state machine.

Moments are seconds since the epoch; a job's may be infinite, as in the database. The model asks
the database for one thing alone: the token of a claim.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from delivery_row import WAITING, Moment, Row

from chimewayd.models import Status

LEASE_SECONDS = 60
FINISHED_SECONDS_AGO = 2  # between the end of a call and its record
FURTHEST_LEASE_SECONDS = 7200
FOLLOWED_STEP_SECONDS = 10

OUTCOMES = {
    "succeeded": ("succeeded", None),
    "temporary": ("failed", "temporary"),
    "throttled": ("failed", "temporary"),
    "permanent": ("rejected", "permanent"),
    "bounced": ("bounced", "bounced"),
    "uncertain": ("failed", "uncertain"),
    "timeout": ("failed", "timeout"),
    "timeout_after_send": ("failed", "timeout"),
    "unclassified": ("rejected", "unknown_classification"),
    "lost": ("lost", "uncertain"),
}
DOUBTFUL = {"uncertain", "timeout_after_send", "lost"}
FINAL = {"permanent": "permanent_failure", "bounced": "bounced"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A channel's part of the decisions."""

    max_attempts: int
    waits: Sequence[int]
    """The last one repeats."""
    on_uncertain: str = "retry"
    max_age: int | None = None
    retry_after_cap: int = 3600


@dataclass(slots=True)
class Claim:
    """One batch in a daemon's hands."""

    daemon_id: int
    expires_at: Moment


class Model:
    """The queue, as the contract has it."""

    def __init__(self, policies: dict[str, Policy], now: Moment) -> None:
        self.policies = policies
        self.now = now
        self.rows: dict[UUID, Row] = {}
        self.claims: dict[int, Claim] = {}
        self.paused: set[str] = set()
        self.disabled: set[str] = set()
        self.suppressed: set[str] = set()
        self.beats: dict[int, Moment] = {}
        self.newest_call: Moment = -math.inf
        self.turn = 0  # of four claims the last takes what fell due later first

    def flying(self) -> list[tuple[UUID, int]]:
        """Return what is dispatched: deliveries and their tokens."""
        return [(r.delivery_id, r.token) for r in self.rows.values() if r.token is not None]

    def moments(self) -> list[Moment]:
        """Return when something becomes due, in order: jobs, leases, expiries."""
        jobs = [r.job for r in self.rows.values() if r.job is not None and math.isfinite(r.job)]
        ends = [r.expires_at for r in self.rows.values() if r.expires_at is not None]
        return sorted({*jobs, *ends, *(claim.expires_at for claim in self.claims.values())})

    def take(self, channels: Sequence[str], slots: int, limit: int) -> list[Row]:
        """Take what a claim takes and end what policy refuses; return what is to be called."""
        due = [self._due(channel) for channel in channels]
        suspects = [row for rows in due for row in rows if row.is_suspect]
        taken = sorted(suspects, key=lambda row: (row.job, row.position))[:1]
        for rows in due:
            left = slots - sum(row in taken for row in rows)
            taken += [row for row in rows if not row.is_suspect][:left]
        del taken[limit:]
        self.turn = (self.turn + 1) % 4
        calls = []
        for row in taken:
            row.job = row.next_attempt_at = None
            if row.expires_at is not None and row.expires_at <= self.now:
                row.end(Status.CANCELLED, "expired")
                row.events.append("expired")
            elif reason := self._refusal(row):
                row.end(Status.SUPPRESSED, reason)
                row.events.append("suppressed")
            else:
                calls.append(row)
        return sorted(calls, key=lambda row: (row.priority, row.position))

    def dispatch(self, calls: Iterable[Row], token: int, daemon_id: int) -> None:
        self.claims[token] = Claim(daemon_id, self.now + LEASE_SECONDS)
        for row in calls:
            row.status, row.token = Status.DISPATCHED, token
            row.attempt_count += 1

    def record(self, row: Row, token: int, kind: str, retry_after: int | None) -> str:
        """Record one call; return the verdict."""
        if row.token == token:
            self._settle(row, token, kind, retry_after)
            self._close_claims()
            return "applied"
        if any(tried[2] == token and tried[3] != "lost" for tried in row.attempts):
            return "already_applied"
        if token not in row.late:
            row.late.add(token)
            row.events.append("late_outcome")
        return "stale"

    def release_unsent(self, row: Row, token: int) -> bool:
        if row.token != token:
            return False
        row.give_back(self.now)
        self._close_claims()
        return True

    def end_by_operator(self, row: Row, status: Status, reason: str) -> bool:
        """Cancel or suppress; return whether that changed anything."""
        verb = "cancel" if status is Status.CANCELLED else "suppress"
        if row.status in WAITING:
            row.end(status, reason)
            row.events.append(status)
        elif row.status is Status.DISPATCHED:
            row.requested = (status, reason)
            row.events.append(f"{verb}_requested")
        else:
            return False
        return True

    def extend(self, daemon_id: int, seconds: int) -> set[int]:
        """Extend a daemon's leases; return the tokens that are not its own."""
        self._follow_clock(daemon_id)
        self.beats[daemon_id] = self.now
        for claim in self.claims.values():
            if claim.daemon_id == daemon_id:
                claim.expires_at = self.now + seconds
        return {token for token, claim in self.claims.items() if claim.daemon_id != daemon_id}

    def _follow_clock(self, daemon_id: int) -> None:
        is_known = daemon_id in self.beats
        heard = [self.beats[daemon_id]] if is_known else self.beats.values()
        back = max([0, *(at - self.now for at in heard)])
        # A daemon that nobody knows of asks what was written last.
        seen = back if is_known else max(back, self.newest_call - self.now)
        if seen < FOLLOWED_STEP_SECONDS:
            return
        self.beats = {daemon: min(at, self.now) for daemon, at in self.beats.items()}
        for row in self.rows.values():
            row.follow_clock(self.now, back)

    def rescue(self, limit: int) -> set[UUID]:
        """Return the deliveries whose calls are lost."""
        over = [token for token, claim in sorted(self.claims.items()) if self._is_over(claim)]
        lost = [row for row in self.rows.values() if row.token in over[:limit]]
        for row in lost:
            assert row.token is not None
            self._settle(row, row.token, "lost", None)
        self._close_claims()
        return {row.delivery_id for row in lost}

    def expire(self, since: Moment) -> set[UUID]:
        """Return the deliveries that ended."""
        waiting = [
            r for r in self.rows.values() if r.status in WAITING and r.expires_at is not None
        ]
        late = [row for row in waiting if since <= (row.expires_at or 0) <= self.now]
        for row in late:
            row.end(Status.CANCELLED, "expired")
            row.events.append("expired")
        return {row.delivery_id for row in late}

    def _due(self, channel: str) -> list[Row]:
        if channel not in self.policies or channel in self.paused:
            return []
        due = [
            (row.priority, math.isfinite(row.job) ^ (self.turn == 3), row.job, row.position, row)
            for row in self.rows.values()
            if row.channel == channel and row.job is not None and row.job <= self.now
        ]
        return [row for *_, row in sorted(due, key=lambda job: job[:4])]

    def _refusal(self, row: Row) -> str | None:
        if row.channel in self.disabled:
            return "channel_disabled"
        return "recipient_suppressed" if row.recipient in self.suppressed else None

    def _is_over(self, claim: Claim) -> bool:
        left = claim.expires_at - self.now
        return left <= 0 or left > FURTHEST_LEASE_SECONDS

    def _close_claims(self) -> None:
        held = {token for _, token in self.flying()}
        self.claims = {token: claim for token, claim in self.claims.items() if token in held}

    def _settle(self, row: Row, token: int, kind: str, retry_after: int | None) -> None:
        policy = self.policies[row.channel]
        failures = row.attempt_count - row.attempts_before
        asked = 0 if retry_after is None else min(retry_after, policy.retry_after_cap)
        # The wait begins where the call ended.
        ended_at = self.now - (0 if kind == "lost" else FINISHED_SECONDS_AGO)
        is_first_loss = kind == "lost" and not row.lost_count
        wait = 0 if is_first_loss else policy.waits[min(failures, len(policy.waits)) - 1]
        retry_at = ended_at + max(wait, asked)
        too_old = policy.max_age is not None and retry_at > row.scheduled_at + policy.max_age
        row.attempts.append((row.attempt_count, row.series, token, *OUTCOMES[kind]))
        self.newest_call = max(self.newest_call, ended_at)
        row.lost_count += kind == "lost"

        if kind == "succeeded":
            row.end(Status.SUCCEEDED, None)
        elif kind in FINAL:
            row.end(Status.CANCELLED, FINAL[kind])
        elif kind in DOUBTFUL and policy.on_uncertain == "hold":
            row.end(Status.CANCELLED, "outcome_unknown")
        elif row.requested:
            row.end(*row.requested)
        elif failures >= (row.max_attempts or policy.max_attempts) or too_old:
            row.end(Status.CANCELLED, "retries_exhausted")
        else:
            row.retry(retry_at, self.now)
