"""Each function of the database and of the model, called side by side: their answers must agree."""

from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
from delivery_model import FINISHED_SECONDS_AGO, LEASE_SECONDS, Model, Policy
from delivery_row import DUE_AT_ONCE, TERMINAL, WAITING, Moment, Row
from engine import claim, configure, insert, operate
from frozen_clock import START, set_clock
from machine_database import MachineDatabase

from chimewayd.models import Status

Call: TypeAlias = tuple[UUID, int]
"""A delivery and the token of one claim of it."""
Report: TypeAlias = tuple[Call, str, int | None]
"""A call, how it ended, and the seconds the provider asked to wait."""

POLICIES = {
    "mail": Policy(max_attempts=3, waits=(30, 60, 100), retry_after_cap=130),
    "sms": Policy(max_attempts=2, waits=(5, 90), on_uncertain="hold"),
    "hook": Policy(max_attempts=9, waits=(30, 60, 120, 200), max_age=400, retry_after_cap=150),
}
BACKOFF: dict[str, dict[str, Any]] = {
    "mail": {"backoff_cap": timedelta(seconds=100)},
    "sms": {"backoff_schedule": [timedelta(seconds=5), timedelta(seconds=90)]},
    "hook": {"backoff_cap": timedelta(seconds=200), "max_age": timedelta(seconds=400)},
}
CHANNELS = (*POLICIES, "unserved")
REFUSED, UNIQUE = "NC002", "23505"

RECORD = """
select * from chimeway.record('d1', $1, $2, $3, $5, $6, null, null, null, null, $4)
"""
STRAY_JOB = """
insert into chimeway.jobs (delivery_id, due_at, position, priority, channel)
select d.id, '-infinity', d.position, d.priority, d.channel
from chimeway.deliveries as d
where d.id = $1
"""


def as_datetime(moment: Moment) -> datetime:
    return datetime.fromtimestamp(moment, UTC)


def as_configured(name: str) -> dict[str, Any]:
    """Say a channel's policy in the words of configure_channel."""
    policy = POLICIES[name]
    return BACKOFF[name] | {
        "max_attempts": policy.max_attempts,
        "on_uncertain": policy.on_uncertain,
        "retry_after_cap": timedelta(seconds=policy.retry_after_cap),
    }


class SideBySide:
    """An empty queue of the database, and its model."""

    def __init__(self, database: MachineDatabase) -> None:
        self.model = Model(POLICIES, START.timestamp())
        self._database = database
        self._connection = database.connection
        self._run = database.run
        self.calls: list[Call] = []
        """All that ever began."""
        self._newest_token = 0
        database.empty()
        self._fetch("select set_config('chimeway.turn', '', false)")
        self.set_now(START.timestamp())
        for name in POLICIES:
            self._run(configure(self._connection, name, **as_configured(name)))

    def set_now(self, now: Moment) -> None:
        if now < self.model.now:
            self._look_at_all()
        self.model.now = now
        self._run(set_clock(self._connection, as_datetime(now)))

    def insert(self, *, delay: int = 0, lifetime: int | None = None, **columns: Any) -> UUID:
        now, number = self.model.now, len(self.model.rows) + 1
        expires_at = None if lifetime is None else now + lifetime
        row = Row(
            delivery_id=UUID(int=number),
            position=number,
            scheduled_at=now + delay,
            expires_at=expires_at,
            job=now + delay if delay else DUE_AT_ONCE,
            channel=columns.setdefault("channel", "mail"),
            recipient=columns.setdefault("recipient", "ada"),
            priority=columns.setdefault("priority", 0),
            max_attempts=columns.setdefault("max_attempts", None),
        )
        columns["scheduled_at"] = as_datetime(row.scheduled_at)
        columns["expires_at"] = None if expires_at is None else as_datetime(expires_at)
        self._run(insert(self._connection, id=row.delivery_id, **columns))
        self.model.rows[row.delivery_id] = row
        return row.delivery_id

    def insert_again(self, key: str) -> None:
        """Insert a key that is known: it is refused and leaves no trace."""
        assert self._refusal(insert(self._connection, idempotency_key=key)) == UNIQUE

    def late_calls(self) -> list[Call]:
        """Return earlier calls of what is in flight again."""
        flying = self.model.flying()
        again = {delivery_id for delivery_id, _ in flying}
        return [call for call in self.calls if call[0] in again and call not in flying]

    def claim(
        self, channels: Sequence[str], daemon_id: int, slots: int = 99, limit: int = 99
    ) -> list[Call]:
        claimed = self._run(
            claim(self._connection, *channels, slots=slots, limit=limit, daemon_id=daemon_id)
        )
        calls = self.model.take(channels, slots, limit)
        assert [delivery.delivery_id for delivery in claimed] == [row.delivery_id for row in calls]
        if not calls:
            return []
        (token,) = {delivery.claim_id for delivery in claimed}
        assert token > self._newest_token, "a token is never used again"
        self._newest_token = token
        self.model.dispatch(calls, token, daemon_id)
        assert [d.attempt_number for d in claimed] == [row.attempt_count for row in calls]
        begun = [(row.delivery_id, token) for row in calls]
        self.calls += begun
        return begun

    def claim_beside_a_stray_job(self, row: Row) -> list[Call]:
        """Claim with a job of a terminal delivery in the queue, which no function leaves there."""
        self._fetch(STRAY_JOB, row.delivery_id)
        self._look_at_all()
        return self.claim([row.channel], 1)

    def record(self, batch: Sequence[Report]) -> None:
        answers = self._fetch(
            RECORD,
            [delivery_id for (delivery_id, _), _, _ in batch],
            [token for (_, token), _, _ in batch],
            [kind for _, kind, _ in batch],
            [None if wait is None else timedelta(seconds=wait) for _, _, wait in batch],
            [FINISHED_SECONDS_AGO + 1] * len(batch),
            [FINISHED_SECONDS_AGO] * len(batch),
        )
        expected = {
            call: self.model.record(self.model.rows[call[0]], call[1], kind, wait)
            for call, kind, wait in batch
        }
        assert len(answers) == len(batch)
        verdicts = {batch[row["nth"] - 1][0]: row["verdict"] for row in answers}
        assert verdicts == expected

    def release_unsent(self, batch: Sequence[Call]) -> None:
        freed = {
            delivery_id
            for delivery_id, token in batch
            if self.model.release_unsent(self.model.rows[delivery_id], token)
        }
        rows = self._fetch(
            "select * from chimeway.release_unsent('d1', $1, $2, 'stopping')",
            *map(list, zip(*batch, strict=True)),
        )
        assert {row["delivery_id"] for row in rows} == freed

    def heartbeat(self, daemon_id: int) -> None:
        """Extend a daemon's leases; it claims to hold everybody's."""
        tokens = list(self.model.claims)
        rows = self._fetch(
            "select * from chimeway.heartbeat($1, 'd', '1', '{mail}', $2, $3)",
            daemon_id,
            tokens,
            timedelta(seconds=LEASE_SECONDS),
        )
        lost = {row["lost_claim_id"] for row in rows}
        assert lost == self.model.extend(daemon_id, LEASE_SECONDS)

    def rescue(self, limit: int) -> None:
        rows = self._fetch("select * from chimeway.rescue($1)", limit)
        assert {row["delivery_id"] for row in rows} == self.model.rescue(limit)

    def expire(self, seconds: int) -> None:
        """End what expired within the last seconds, and roll up the tallies as a sweep does."""
        since = self.model.now - seconds
        rows = self._fetch("select * from chimeway.expire($1, 100)", as_datetime(since))
        assert {row["delivery_id"] for row in rows} == self.model.expire(since)
        self._fetch("select chimeway.roll_up_tallies()")

    def end(self, delivery_id: UUID, status: Status) -> None:
        verb = "cancel" if status is Status.CANCELLED else "suppress"
        row = self.model.rows[delivery_id]
        changed = self.model.end_by_operator(row, status, verb)
        self._operate(verb, delivery_id, verb, "ops", changed=changed)

    def replay(self, delivery_id: UUID, *, force: bool) -> None:
        row = self.model.rows[delivery_id]
        if row.status not in TERMINAL or (row.status is Status.SUCCEEDED and not force):
            call = operate(self._connection, "replay", delivery_id, "ops", force)
            assert self._refusal(call) == REFUSED
            return
        row.replay(self.model.now)
        self._operate("replay", delivery_id, "ops", force, changed=True)

    def hold(self, delivery_id: UUID) -> None:
        row = self.model.rows[delivery_id]
        if row.status not in WAITING:
            call = operate(self._connection, "hold", delivery_id, "wait", "ops")
            assert self._refusal(call) == REFUSED
            return
        self._operate("hold", delivery_id, "wait", "ops", changed=row.hold())

    def release(self, delivery_id: UUID) -> None:
        changed = self.model.rows[delivery_id].release(self.model.now)
        self._operate("release", delivery_id, "ops", changed=changed)

    def pause(self, channel: str) -> None:
        answer = self._run(operate(self._connection, "pause_channel", channel, "why", "ops"))
        assert answer["changed"] == (channel not in self.model.paused)
        self.model.paused.add(channel)

    def resume(self, channel: str) -> None:
        answer = self._run(operate(self._connection, "resume_channel", channel, "ops"))
        assert answer["changed"] == (channel in self.model.paused)
        self.model.paused.discard(channel)

    def enable(self, channel: str, *, enabled: bool) -> None:
        statement = "update chimeway.channels set enabled = $2 where name = $1"
        self._fetch(statement, channel, enabled)
        (self.model.disabled.discard if enabled else self.model.disabled.add)(channel)

    def suppress_or_forgive(self, recipient: str) -> None:
        """Put a recipient among the suppressed, or take it out."""
        forgive = "delete from chimeway.suppressions where recipient = $1"
        suppress = "insert into chimeway.suppressions (recipient, actor) values ($1, 'ops')"
        self._fetch(forgive if recipient in self.model.suppressed else suppress, recipient)
        self.model.suppressed ^= {recipient}

    def _look_at_all(self) -> None:
        """Have the next claim see at once what it may see a second later: jobs put far in front."""
        self._fetch("select set_config('chimeway.floors', '', false)")

    def _operate(self, verb: str, delivery_id: UUID, *arguments: Any, changed: bool) -> None:
        answer = self._run(operate(self._connection, verb, delivery_id, *arguments))
        status = self.model.rows[delivery_id].status
        assert (answer["changed"], answer["status"]) == (changed, status)

    def _fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        return self._run(self._connection.fetch(query, *arguments))

    def _refusal(self, call: Coroutine[Any, Any, object]) -> str | None:
        try:
            self._run(call)
        except asyncpg.PostgresError as refusal:
            return refusal.sqlstate
        return None
