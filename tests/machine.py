"""A hypothesis state machine that drives the SQL functions and a model of them side by side.

Each step calls one function, or two that follow each other in life, and predicts the answer; after
each step the whole database must be what the model says, every invariant must hold, and `explain`
must tell everything.
"""

from collections.abc import Set as AbstractSet
from enum import StrEnum, auto
from typing import Any, ClassVar, assert_never
from uuid import UUID

from delivery_model import FURTHEST_LEASE_SECONDS, OUTCOMES
from delivery_row import HELD, TERMINAL, WAITING, Moment, Row
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
from machine_database import MachineDatabase
from side_by_side import CHANNELS, POLICIES, Call, Report, SideBySide

from chimewayd.models import Status

RECIPIENTS = ("ada", "bob")
SECONDS = [1, 5, 29, 30, 31, 60, 61, 300, 3600, 7300, 86400]

channels = st.lists(st.sampled_from(CHANNELS), min_size=1, max_size=4, unique=True)
served = st.sampled_from([*POLICIES])
daemons = st.integers(1, 3)
picks = st.integers(0, 99)
waits = st.sampled_from([None, None, 1, 45, 140, 1000])
# Most calls fail and can be tried again: a history grows long only so.
kinds = st.sampled_from(
    [
        *(kind for kind in OUTCOMES if kind != "lost"),
        *["temporary", "throttled", "timeout"] * 3,
        *["succeeded"] * 2,
    ]
)


class Verb(StrEnum):
    """What an operator can ask for."""

    CANCEL = auto()
    SUPPRESS = auto()
    REPLAY = auto()
    REPLAY_BY_FORCE = auto()
    HOLD = auto()
    RELEASE = auto()


class DeliveryMachine(RuleBasedStateMachine):
    """Random calls of every function; a subclass names the database."""

    deliveries = Bundle("deliveries")
    calls: Bundle[Call] = Bundle("calls")

    database: ClassVar[MachineDatabase]

    def __init__(self) -> None:
        super().__init__()
        self.both = SideBySide(self.database)
        self.model = self.both.model
        self.keys: set[str] = set()

    @initialize(target=deliveries)
    def begin_with_some(self) -> MultipleResults[UUID]:
        return multiple(*(self.both.insert(channel=name) for name in (*POLICIES, "mail")))

    @rule(
        target=deliveries,
        channel=st.sampled_from(["mail", "mail", *CHANNELS]),
        recipient=st.sampled_from(RECIPIENTS),
        priority=st.sampled_from([0, 0, 0, -1, 1]),
        delay=st.sampled_from([0, 0, 1, 30, 3600]),
        lifetime=st.sampled_from([None, None, -1, 1, 60, 7200]),
        max_attempts=st.sampled_from([None, None, None, 1, 2]),
    )
    def insert(self, **columns: Any) -> UUID:
        return self.both.insert(**columns)

    @rule(target=deliveries, key=st.sampled_from("ab"))
    def insert_once(self, key: str) -> MultipleResults[UUID]:
        if key in self.keys:
            self.both.insert_again(key)
            return multiple()
        self.keys.add(key)
        return multiple(self.both.insert(idempotency_key=key))

    @rule(target=calls, channels=channels, daemon_id=daemons, limit=st.sampled_from([0, 1, 2, 9]))
    def claim(self, channels: list[str], daemon_id: int, limit: int) -> MultipleResults[Call]:
        return multiple(*self.both.claim(channels, daemon_id, limit=limit))

    @rule(
        target=calls,
        channel=st.sampled_from(["mail", *POLICIES]),
        slots=st.sampled_from([1, 1, 2]),
        seconds=st.sampled_from([0, 300, 300]),
    )
    def claim_with_few_slots(self, channel: str, slots: int, seconds: int) -> MultipleResults[Call]:
        self.both.set_now(self.model.now + seconds)
        return multiple(*self.both.claim([channel, "unserved"], 1, slots))

    @precondition(lambda self: self.model.moments())
    @rule(target=calls, daemon_id=daemons, pick=picks, short_of_it=st.sampled_from([0, 0, 1]))
    def claim_when_something_is_due(
        self, daemon_id: int, pick: int, short_of_it: int
    ) -> MultipleResults[Call]:
        """Claim just when a delivery, lease or expiry is due, or a second before."""
        moments = self.model.moments()
        self.both.set_now(moments[pick % len(moments)] - short_of_it)
        return multiple(*self.both.claim(CHANNELS, daemon_id))

    @precondition(lambda self: self._terminal_and_served())
    @rule(target=calls, pick=picks)
    def claim_beside_the_job_of_a_terminal_delivery(self, pick: int) -> MultipleResults[Call]:
        """Such a job is left by no function; it vanishes, and nothing is sent."""
        ended = self._terminal_and_served()
        return multiple(*self.both.claim_beside_a_stray_job(ended[pick % len(ended)]))

    @precondition(lambda self: self.model.flying())
    @rule(pick=picks, kind=kinds, retry_after=waits)
    def record_what_is_in_flight(self, pick: int, kind: str, retry_after: int | None) -> None:
        flying = self.model.flying()
        self.both.record([(flying[pick % len(flying)], kind, retry_after)])

    @precondition(lambda self: self.both.late_calls())
    @rule(pick=picks, kind=st.sampled_from(["succeeded", "temporary", "permanent"]))
    def record_late(self, pick: int, kind: str) -> None:
        """Record an earlier call of a delivery that is in flight again."""
        late = self.both.late_calls()
        self.both.record([(late[pick % len(late)], kind, None)])

    @rule(
        batch=st.lists(
            st.tuples(calls, kinds, waits),
            min_size=1,
            max_size=4,
            unique_by=lambda report: report[0],
        )
    )
    def record_right_late_and_repeated(self, batch: list[Report]) -> None:
        """Record calls of any age: held, lost, given back, recorded already."""
        self.both.record(batch)

    @rule(batch=st.lists(calls, min_size=1, max_size=3, unique=True))
    def release_unsent(self, batch: list[Call]) -> None:
        self.both.release_unsent(batch)

    @precondition(lambda self: self.model.flying())
    @rule(pick=picks)
    def release_what_is_in_flight(self, pick: int) -> None:
        flying = self.model.flying()
        self.both.release_unsent([flying[pick % len(flying)]])

    @rule(daemon_id=daemons)
    def heartbeat(self, daemon_id: int) -> None:
        self.both.heartbeat(daemon_id)

    @precondition(lambda self: self.model.claims)
    @rule(
        seconds=st.sampled_from([-1, 0, 0, 0, -FURTHEST_LEASE_SECONDS - 100]),
        limit=st.sampled_from([1, 9]),
    )
    def rescue_when_the_first_lease_ends(self, seconds: int, limit: int) -> None:
        """Rescue just before, just then, or with a clock that was set back by hours."""
        first = min(claim.expires_at for claim in self.model.claims.values())
        self.both.set_now(first + seconds)
        self.both.rescue(limit)

    @precondition(lambda self: self._perishable())
    @rule(pick=picks, late_by=st.sampled_from([-1, 0, 0, 90]), window=st.sampled_from([60, 10**6]))
    def expire(self, pick: int, late_by: int, window: int) -> None:
        """Expire just before, just when, or a while after a delivery is too old."""
        perishable = self._perishable()
        self.both.set_now(perishable[pick % len(perishable)] + late_by)
        self.both.expire(window)

    @rule(delivery_id=deliveries, verb=st.sampled_from(Verb))
    def operate(self, delivery_id: UUID, verb: Verb) -> None:
        self._operate(verb, delivery_id)

    @precondition(lambda self: self._in(TERMINAL))
    @rule(pick=picks, verb=st.sampled_from([Verb.REPLAY, Verb.REPLAY_BY_FORCE]))
    def replay_what_ended(self, pick: int, verb: Verb) -> None:
        ended = self._in(TERMINAL)
        self._operate(verb, ended[pick % len(ended)].delivery_id)

    @precondition(lambda self: self.model.flying())
    @rule(pick=picks, verb=st.sampled_from([Verb.CANCEL, Verb.SUPPRESS]))
    def end_what_is_in_flight(self, pick: int, verb: Verb) -> None:
        flying = self.model.flying()
        self._operate(verb, flying[pick % len(flying)][0])

    @precondition(lambda self: self._in(WAITING))
    @rule(pick=picks, verb=st.sampled_from([Verb.HOLD, Verb.HOLD, Verb.CANCEL]))
    def hold_or_cancel_what_waits(self, pick: int, verb: Verb) -> None:
        waiting = self._in(WAITING)
        self._operate(verb, waiting[pick % len(waiting)].delivery_id)

    @precondition(lambda self: self._held())
    @rule(pick=picks)
    def release_what_is_held(self, pick: int) -> None:
        held = self._held()
        self._operate(Verb.RELEASE, held[pick % len(held)].delivery_id)

    @rule(channel=served, verb=st.sampled_from(["pause", "resume", "disable", "enable", "bob"]))
    def stop_or_start_a_channel(self, channel: str, verb: str) -> None:
        match verb:
            case "pause":
                self.both.pause(channel)
            case "resume":
                self.both.resume(channel)
            case "bob":
                self.both.suppress_or_forgive("bob")
            case _:
                self.both.enable(channel, enabled=verb == "enable")

    @rule(seconds=st.sampled_from(SECONDS), sign=st.sampled_from([1, 1, -1]))
    def move_clock(self, seconds: int, sign: int) -> None:
        self.both.set_now(self.model.now + sign * seconds)

    @invariant()
    def database_is_what_the_model_says(self) -> None:
        self.database.steps += 1
        assert self.database.differences(self.model.rows.values()) == []

    @invariant()
    def every_invariant_holds_and_everything_is_explained(self) -> None:
        assert self.database.problems() == []

    def _operate(self, verb: Verb, delivery_id: UUID) -> None:
        match verb:
            case Verb.CANCEL:
                self.both.end(delivery_id, Status.CANCELLED)
            case Verb.SUPPRESS:
                self.both.end(delivery_id, Status.SUPPRESSED)
            case Verb.REPLAY | Verb.REPLAY_BY_FORCE:
                self.both.replay(delivery_id, force=verb is Verb.REPLAY_BY_FORCE)
            case Verb.HOLD:
                self.both.hold(delivery_id)
            case Verb.RELEASE:
                self.both.release(delivery_id)
            case _:
                assert_never(verb)

    def _in(self, statuses: AbstractSet[Status]) -> list[Row]:
        return [row for row in self.model.rows.values() if row.status in statuses]

    def _held(self) -> list[Row]:
        return [row for row in self._in(WAITING) if row.job == HELD]

    def _perishable(self) -> list[Moment]:
        return [row.expires_at for row in self._in(WAITING) if row.expires_at is not None]

    def _terminal_and_served(self) -> list[Row]:
        served = self.model.policies.keys() - self.model.paused
        return [row for row in self._in(TERMINAL) if row.channel in served]
