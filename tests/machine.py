"""A hypothesis state machine that drives the SQL functions and a model of them side by side.

Each step calls one function and predicts its answer; after each step the whole database must be
what the model says, every invariant must hold, and `explain` must have something to say.
"""

from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, TypeAlias
from uuid import UUID

import asyncpg
from delivery_model import (
    DUE_AT_ONCE,
    LEASE_SECONDS,
    OUTCOMES,
    TERMINAL,
    WAITING,
    Model,
    Moment,
    Policy,
    Row,
)
from engine import claim, configure, insert, operate
from frozen_clock import START, set_clock
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)
from machine_database import MachineDatabase, as_stored

from chimewayd.models import Status

Call: TypeAlias = tuple[UUID, int]
"""A delivery and the token of one claim of it."""
Report: TypeAlias = tuple[Call, str, int | None]
"""A call, how it ended, and the seconds the provider asked to wait."""

POLICIES = {
    "mail": Policy(max_attempts=3, waits=(30, 60, 100)),
    "sms": Policy(max_attempts=2, waits=(5, 90), on_uncertain="hold"),
    "hook": Policy(max_attempts=9, waits=(30, 60, 120, 200), max_age=400, retry_after_cap=150),
}
BACKOFF: dict[str, dict[str, Any]] = {
    "mail": {"backoff_cap": timedelta(seconds=100)},
    "sms": {"backoff_schedule": [timedelta(seconds=5), timedelta(seconds=90)]},
    "hook": {"backoff_cap": timedelta(seconds=200), "max_age": timedelta(seconds=400)},
}
CHANNELS = (*POLICIES, "unserved")
RECIPIENTS = ("ada", "bob")
KINDS = [kind for kind in OUTCOMES if kind != "lost"]
SECONDS = [1, 5, 29, 30, 31, 60, 61, 300, 3600, 7300, 86400]
REFUSED, UNIQUE = "NC002", "23505"
RECORD = """
select * from chimeway.record('d1', $1, $2, $3, $5, $5, null, null, null, null, $4)
"""
STRAY_JOB = """
insert into chimeway.jobs (delivery_id, due_at, position, priority, channel)
select d.id, '-infinity', d.position, d.priority, d.channel
from chimeway.deliveries as d
where d.id = $1
"""

channels = st.lists(st.sampled_from(CHANNELS), min_size=1, max_size=4, unique=True)
daemons = st.integers(1, 3)
picks = st.integers(0, 99)
waits = st.sampled_from([None, None, None, 1, 45, 140, 1000])


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


class DeliveryMachine(RuleBasedStateMachine):
    """Random calls of every function; a subclass names the database."""

    deliveries = Bundle("deliveries")
    calls: Bundle[Call] = Bundle("calls")

    database: ClassVar[MachineDatabase]

    def __init__(self) -> None:
        super().__init__()
        database = self.database
        self.connection = database.connection
        self._run = database.run
        self.model = Model(POLICIES, START.timestamp())
        self.keys: set[str] = set()
        self.newest_token = 0
        database.empty()
        self._set_now(START.timestamp())
        for name in POLICIES:
            database.run(configure(database.connection, name, **as_configured(name)))

    @initialize(target=deliveries)
    def begin_with_three(self) -> MultipleResults[UUID]:
        """Begin with one for each served channel: most steps need one."""
        return multiple(*(self._insert(channel=name) for name in POLICIES))

    @rule(
        target=deliveries,
        channel=st.sampled_from(CHANNELS),
        recipient=st.sampled_from(RECIPIENTS),
        priority=st.integers(-1, 1),
        delay=st.sampled_from([0, 0, 1, 30, 3600]),
        lifetime=st.sampled_from([None, None, None, -1, 1, 60, 7200]),
        max_attempts=st.sampled_from([None, None, 1, 2]),
    )
    def insert(self, delay: int, lifetime: int | None, **columns: Any) -> UUID:
        return self._insert(delay=delay, lifetime=lifetime, **columns)

    @rule(key=st.sampled_from("ab"))
    def insert_once(self, key: str) -> None:
        """Insert with an idempotency key; a second one is refused and leaves no trace."""
        if key in self.keys:
            assert self._refusal(insert(self.connection, idempotency_key=key)) == UNIQUE
        else:
            self._insert(idempotency_key=key)
            self.keys.add(key)

    @rule(
        target=calls,
        channels=channels,
        daemon_id=daemons,
        slots=st.sampled_from([0, 1, 2, 9]),
        limit=st.sampled_from([1, 3, 9]),
    )
    def claim(self, channels: list[str], **how: int) -> MultipleResults[Call]:
        return self._claim(channels, **how)

    @rule(target=calls, daemon_id=daemons)
    def claim_all_that_is_due(self, daemon_id: int) -> MultipleResults[Call]:
        return self._claim(CHANNELS, daemon_id, 99, 99)

    @precondition(lambda self: self._with_a_place_for_strays())
    @rule(target=calls, pick=picks)
    def claim_meets_the_job_of_a_terminal_delivery(self, pick: int) -> MultipleResults[Call]:
        """Claim with a job in the queue that no function leaves there: it vanishes, unsent."""
        ended = self._with_a_place_for_strays()
        row = ended[pick % len(ended)]
        self._fetch(STRAY_JOB, row.delivery_id)
        return self._claim([row.channel], 1, 99, 99)

    @precondition(lambda self: self.model.flying())
    @rule(pick=picks, kind=st.sampled_from(KINDS), retry_after=waits)
    def record_what_is_in_flight(self, pick: int, kind: str, retry_after: int | None) -> None:
        flying = self.model.flying()
        self._record([(flying[pick % len(flying)], kind, retry_after)])

    @rule(
        batch=st.lists(
            st.tuples(calls, st.sampled_from(KINDS), waits),
            min_size=1,
            max_size=5,
            unique_by=lambda report: report[0],
        )
    )
    def record_right_late_and_repeated(self, batch: list[Report]) -> None:
        """Record calls of any age: held, lost, given back, recorded already."""
        self._record(batch)

    @rule(batch=st.lists(calls, min_size=1, max_size=3, unique=True))
    def release_unsent(self, batch: list[Call]) -> None:
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

    @rule(daemon_id=daemons)
    def heartbeat(self, daemon_id: int) -> None:
        held = list(self.model.claims)
        foreign = self.model.extend(daemon_id, LEASE_SECONDS)
        rows = self._fetch(
            "select * from chimeway.heartbeat($1, 'd', '1', '{mail}', $2, $3)",
            daemon_id,
            held,
            timedelta(seconds=LEASE_SECONDS),
        )
        assert {row["lost_claim_id"] for row in rows} == foreign

    @rule(limit=st.sampled_from([1, 9]))
    def rescue(self, limit: int) -> None:
        rows = self._fetch("select * from chimeway.rescue($1)", limit)
        assert {row["delivery_id"] for row in rows} == self.model.rescue(limit)

    @rule(ago=st.sampled_from([0, 60, 10**6]))
    def expire(self, ago: int) -> None:
        since = self.model.now - ago
        rows = self._fetch("select * from chimeway.expire($1, 100)", as_datetime(since))
        assert {row["delivery_id"] for row in rows} == self.model.expire(since)

    @rule(delivery_id=deliveries, status=st.sampled_from([Status.CANCELLED, Status.SUPPRESSED]))
    def end(self, delivery_id: UUID, status: Status) -> None:
        verb = "cancel" if status is Status.CANCELLED else "suppress"
        row = self.model.rows[delivery_id]
        changed = self.model.end_by_operator(row, status, verb)
        self._operate(verb, delivery_id, verb, "ops", changed=changed)

    @rule(delivery_id=deliveries, force=st.booleans())
    def replay(self, delivery_id: UUID, force: bool) -> None:
        row = self.model.rows[delivery_id]
        if row.status not in TERMINAL or (row.status is Status.SUCCEEDED and not force):
            call = operate(self.connection, "replay", delivery_id, "ops", force)
            assert self._refusal(call) == REFUSED
            return
        row.replay(self.model.now)
        self._operate("replay", delivery_id, "ops", force, changed=True)

    @rule(delivery_id=deliveries)
    def hold(self, delivery_id: UUID) -> None:
        row = self.model.rows[delivery_id]
        if row.status not in WAITING:
            call = operate(self.connection, "hold", delivery_id, "wait", "ops")
            assert self._refusal(call) == REFUSED
            return
        self._operate("hold", delivery_id, "wait", "ops", changed=row.hold())

    @rule(delivery_id=deliveries)
    def release(self, delivery_id: UUID) -> None:
        changed = self.model.rows[delivery_id].release()
        self._operate("release", delivery_id, "ops", changed=changed)

    @rule(channel=st.sampled_from([*POLICIES]), resume=st.booleans())
    def pause_or_resume(self, channel: str, resume: bool) -> None:
        verb, reason = ("resume_channel", []) if resume else ("pause_channel", ["maintenance"])
        answer = self._run(operate(self.connection, verb, channel, *reason, "ops"))
        assert answer["changed"] == ((channel in self.model.paused) == resume)
        (self.model.paused.discard if resume else self.model.paused.add)(channel)

    @rule(channel=st.sampled_from([*POLICIES]))
    def disable_or_enable(self, channel: str) -> None:
        self._fetch("update chimeway.channels set enabled = not enabled where name = $1", channel)
        self.model.disabled ^= {channel}

    @rule(recipient=st.sampled_from(RECIPIENTS))
    def suppress_or_forgive(self, recipient: str) -> None:
        forgive = "delete from chimeway.suppressions where recipient = $1"
        suppress = "insert into chimeway.suppressions (recipient, actor) values ($1, 'ops')"
        self._fetch(forgive if recipient in self.model.suppressed else suppress, recipient)
        self.model.suppressed ^= {recipient}

    @rule(seconds=st.sampled_from(SECONDS), sign=st.sampled_from([1, 1, -1]))
    def move_clock(self, seconds: int, sign: int) -> None:
        self._set_now(self.model.now + sign * seconds)

    @precondition(lambda self: self.model.moments())
    @rule(pick=picks, short_of_it=st.sampled_from([0, 0, 1]))
    def move_clock_to_where_something_is_due(self, pick: int, short_of_it: int) -> None:
        moments = self.model.moments()
        self._set_now(moments[pick % len(moments)] - short_of_it)

    @rule()
    def roll_up_tallies(self) -> None:
        self._fetch("select chimeway.roll_up_tallies()")

    @invariant()
    def database_is_what_the_model_says(self) -> None:
        self.database.steps += 1
        assert self.database.state() == {
            row.delivery_id: as_stored(row) for row in self.model.rows.values()
        }

    @invariant()
    def every_invariant_holds_and_everything_is_explained(self) -> None:
        assert self.database.problems() == []

    def _with_a_place_for_strays(self) -> list[Row]:
        served = self.model.policies.keys() - self.model.paused
        return [
            row
            for row in self.model.rows.values()
            if row.status in TERMINAL and row.channel in served
        ]

    def _insert(self, *, delay: int = 0, lifetime: int | None = None, **columns: Any) -> UUID:
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
        self._run(insert(self.connection, id=row.delivery_id, **columns))
        self.model.rows[row.delivery_id] = row
        return row.delivery_id

    def _claim(
        self, channels: Sequence[str], daemon_id: int, slots: int, limit: int
    ) -> MultipleResults[Call]:
        claimed = self._run(
            claim(self.connection, *channels, slots=slots, limit=limit, daemon_id=daemon_id)
        )
        calls = self.model.take(channels, slots, limit)
        assert [delivery.delivery_id for delivery in claimed] == [row.delivery_id for row in calls]
        if not calls:
            return multiple()
        (token,) = {delivery.claim_id for delivery in claimed}
        assert token > self.newest_token, "a token is never used again"
        self.newest_token = token
        self.model.dispatch(calls, token, daemon_id)
        assert [d.attempt_number for d in claimed] == [row.attempt_count for row in calls]
        return multiple(*((row.delivery_id, token) for row in calls))

    def _record(self, batch: Sequence[Report]) -> None:
        answers = self._fetch(
            RECORD,
            [delivery_id for (delivery_id, _), _, _ in batch],
            [token for (_, token), _, _ in batch],
            [kind for _, kind, _ in batch],
            [None if wait is None else timedelta(seconds=wait) for _, _, wait in batch],
            [0.1] * len(batch),
        )
        expected = {
            call: self.model.record(self.model.rows[call[0]], call[1], kind, wait)
            for call, kind, wait in batch
        }
        assert len(answers) == len(batch)
        verdicts = {(row["delivery_id"], row["claim_id"]): row["verdict"] for row in answers}
        assert verdicts == expected

    def _operate(self, verb: str, delivery_id: UUID, *arguments: Any, changed: bool) -> None:
        answer = self._run(operate(self.connection, verb, delivery_id, *arguments))
        status = self.model.rows[delivery_id].status
        assert (answer["changed"], answer["status"]) == (changed, status)

    def _set_now(self, now: float) -> None:
        self.model.now = now
        self._run(set_clock(self.connection, as_datetime(now)))

    def _fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        return self._run(self.connection.fetch(query, *arguments))

    def _refusal(self, call: Coroutine[Any, Any, object]) -> str | None:
        try:
            self._run(call)
        except asyncpg.PostgresError as refusal:
            return refusal.sqlstate
        return None
