"""A hypothesis state machine of flow control: rates, breakers, fallbacks and retention together.

Nothing predicts its answers. After each step the invariants must hold, no channel may have called
more than its rate and its breaker allow, and in the end, when nothing is kept from going out any
more, whoever sleeps as long as `next_due` says must see every delivery end.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, TypeAlias
from uuid import UUID

import asyncpg
from engine import claim, configure, insert, operate
from frozen_clock import START, set_clock
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from machine_database import MachineDatabase

Call: TypeAlias = tuple[UUID, int]
Rate: TypeAlias = tuple[int, timedelta, int]
"""So many calls in this time, and how many at once."""

CHANNELS: dict[str, dict[str, Any]] = {
    "quick": {"max_attempts": 2, "fallback": "plain"},
    "plain": {"max_attempts": 3, "fallback": "slow"},
    "slow": {"max_attempts": 2, "fallback": "quick", "on_uncertain": "hold"},
}
RATES: dict[str, Rate | None] = {
    "quick": (2, timedelta(seconds=10), 2),
    "plain": None,
    "slow": (1, timedelta(seconds=60), 1),
}
KINDS = [*["succeeded", "temporary", "throttled"] * 2, "permanent", "bounced", "unsubscribed"]
KINDS += ["uncertain", "timeout"]
REFUSED = ("NC001", "NC002")
LOOKS = 2_000
"""More than any run can need until all has ended."""
SLOWEST_RATE = timedelta(seconds=60)
LONGEST_WAIT = timedelta(minutes=10)
"""More than any breaker is open, retry waits, or schedule is ahead."""

channels = st.sampled_from([*CHANNELS])
picks = st.integers(0, 99)

WAITS_OR_FLIES = """
select d.id, d.status, d.channel from chimeway.deliveries as d where d.finished_at is null
"""
SCHEDULED = """
select j.due_at
from chimeway.jobs as j
join chimeway.deliveries as d on d.id = j.delivery_id
where j.due_at = d.scheduled_at and d.series = 1
"""
HELD = "select j.delivery_id from chimeway.jobs as j where j.due_at = 'infinity'"
FAILED_AND_FORGOTTEN = """
select d.id, d.channel, d.suppression_reason
from chimeway.deliveries as d
where d.suppression_reason in ('permanent_failure', 'bounced', 'retries_exhausted')
  and not exists (select from chimeway.fallbacks as f where f.origin_id = d.id)
  and not exists (
    select from chimeway.delivery_events as e
    where e.delivery_id = d.id
      and e.event in ('fallback_refused', 'cancel_requested', 'suppress_requested'))
"""
CHAINS_THAT_TURN = """
select d.id from chimeway.deliveries as d
where (
  select count(*) > count(distinct c.channel) from chimeway.fallback_chain(d.id) as c)
"""
OPEN = """
select b.channel, b.retry_at > chimeway.clock() or exists (
  select from chimeway.deliveries as d
  where d.id = b.probe_delivery_id and d.claim_id = b.probe_claim_id)
from chimeway.breakers as b
"""
NEXT_DUE = "select due_in from chimeway.next_due($1, true)"
FLYING = """
select d.id, d.claim_id
from chimeway.deliveries as d
where d.status = 'dispatched'
order by d.position
"""
LOOK_AT_ALL = "select set_config('chimeway.floors', '', false)"
"""Claims see what lies before their floors once a second of the machine's own clock."""


class FlowMachine(RuleBasedStateMachine):
    """Random use of whatever keeps a channel from calling; a subclass names the database."""

    database: ClassVar[MachineDatabase]

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.rates = dict(RATES)
        self.called: dict[str, list[datetime]] = {name: [] for name in CHANNELS}
        """When each channel called since its rate was set, or the clock was set back."""

    @initialize()
    def begin_with_some(self) -> None:
        self.database.empty()
        self._set_now(START)
        for name in CHANNELS:
            self._configure(name)
            self._fetch("select chimeway.configure_retention($1, '1 hour', '1 day')", name)
            self.insert(name, 0, 0, None)

    @rule(
        channel=channels,
        priority=st.sampled_from([0, 0, 1]),
        delay=st.sampled_from([0, 0, 30]),
        lifetime=st.sampled_from([None, None, None, 60]),
    )
    def insert(self, channel: str, priority: int, delay: int, lifetime: int | None) -> None:
        self._run(
            insert(
                self.database.connection,
                channel=channel,
                recipient="ada" if priority else "bob",
                priority=priority,
                scheduled_at=self.now + timedelta(seconds=delay),
                expires_at=lifetime and self.now + timedelta(seconds=lifetime),
            )
        )

    @rule(
        names=st.lists(channels, min_size=1, max_size=3, unique=True),
        slots=st.sampled_from([1, 2, 9]),
    )
    def claim(self, names: list[str], slots: int) -> None:
        self._claim(names, slots)

    @precondition(lambda self: self._flying())
    @rule(pick=picks, kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=3))
    def record(self, pick: int, kinds: list[str]) -> None:
        flying = self._flying()
        first = pick % len(flying)
        self._record(flying[first : first + len(kinds)], kinds)

    @precondition(lambda self: self._flying())
    @rule(pick=picks, wait=st.sampled_from([None, None, 20]), opens=st.booleans())
    def give_back(self, pick: int, wait: int | None, *, opens: bool) -> None:
        """Give one back; if it was the provider's fault, open the breaker."""
        flying = self._flying()
        delivery_id, token = flying[pick % len(flying)]
        channel = self._fetch("select channel from chimeway.deliveries where id = $1", delivery_id)
        waits = None if wait is None else [timedelta(seconds=wait)]
        statement = "select chimeway.release_unsent('d1', $1, $2, 'unavailable', $3)"
        self._fetch(statement, [delivery_id], [token], waits)
        if opens:
            self.open_breaker(channel[0][0], [token])

    @rule(channel=channels, claim_ids=st.just([]))
    def open_breaker(self, channel: str, claim_ids: list[int]) -> None:
        statement = "select chimeway.open_breaker($1, 'down', 'd1', '30 s', '5 min', $2)"
        self._fetch(statement, channel, claim_ids)

    @rule()
    def rescue(self) -> None:
        ends = self._fetch("select min(expires_at) from chimeway.claims")[0][0]
        if ends is not None:
            self._set_now(max(self.now, ends))
        self._fetch("select chimeway.rescue(9)")

    @rule(channel=channels, verb=st.sampled_from(["pause", "resume", "disable", "enable"]))
    def stop_or_start(self, channel: str, verb: str) -> None:
        if verb in {"disable", "enable"}:
            statement = "update chimeway.channels set enabled = $2 where name = $1"
            self._fetch(statement, channel, verb == "enable")
            return
        why = ["why"] if verb == "pause" else []
        self._run(operate(self.database.connection, f"{verb}_channel", channel, *why, "ops"))

    @rule(pick=picks, verb=st.sampled_from(["cancel", "hold", "release", "replay", "replay"]))
    def operate(self, pick: int, verb: str) -> None:
        rows = self._fetch("select id from chimeway.deliveries order by position")
        if not rows:
            return
        why = ["why"] if verb in {"cancel", "hold"} else []
        call = operate(self.database.connection, verb, rows[pick % len(rows)][0], *why, "ops")
        try:
            self._run(call)
        except asyncpg.PostgresError as refusal:
            assert refusal.sqlstate in REFUSED  # noqa: PT017 - what it is called is the point

    @rule(channel=channels, rate=st.sampled_from([None, (1, 60, 1), (5, 10, 5), (20, 1, 3)]))
    def set_rate(self, channel: str, rate: tuple[int, int, int] | None) -> None:
        self.rates[channel] = rate and (rate[0], timedelta(seconds=rate[1]), rate[2])
        self._configure(channel)

    @rule(hours=st.sampled_from([0, 2, 26]))
    def prune(self, hours: int) -> None:
        self._set_now(self.now + timedelta(hours=hours))
        self._fetch("select * from chimeway.prune(null, null, 99)")

    @rule(seconds=st.sampled_from([0.1, 1, 5, 30, 61, 600]))
    def let_time_pass(self, seconds: float) -> None:
        self._set_now(self.now + timedelta(seconds=seconds))

    @rule(seconds=st.sampled_from([1, 100, 7000]), daemon_id=st.integers(1, 2))
    def set_clock_back(self, seconds: int, daemon_id: int) -> None:
        self._beat(daemon_id)
        self._set_now(self.now - timedelta(seconds=seconds))
        self._beat(daemon_id)

    @invariant()
    def every_invariant_holds_and_everything_is_explained(self) -> None:
        self.database.steps += 1
        assert self.database.problems() == []

    @invariant()
    def what_failed_for_good_went_on_once_to_each_channel(self) -> None:
        assert self._fetch(FAILED_AND_FORGOTTEN) == []
        assert self._fetch(CHAINS_THAT_TURN) == []

    @invariant()
    def no_rate_is_passed(self) -> None:
        for name, called in self.called.items():
            if (rate := self.rates[name]) is None:
                continue
            calls, per, burst = rate
            for first, since in enumerate(called):
                for last in range(first, len(called)):
                    allowed = burst + (called[last] - since) / (per / calls)
                    assert last - first + 1 <= allowed + 1e-3, f"{name}: {called[first : last + 1]}"

    def teardown(self) -> None:
        """Keep nothing from going out any more, and see that all of it ends."""
        for name in CHANNELS:
            self.stop_or_start(name, "resume")
        for row in self._fetch(HELD):
            self._run(operate(self.database.connection, "release", row[0], "ops"))
        while self._flying():
            self.rescue()
        number = len(self._fetch(WAITS_OR_FLIES))
        # A schedule means the clock, wherever that stands.
        began = max([self.now, *(row[0] for row in self._fetch(SCHEDULED))])
        for _ in range(LOOKS):
            if calls := self._claim([*CHANNELS], 99):
                self._record(calls, ["succeeded"] * len(calls))
                continue
            ((due_in,),) = self._fetch(NEXT_DUE, [*CHANNELS])
            if due_in is None:
                break
            self._set_now(self.now + due_in)
        assert self._fetch(WAITS_OR_FLIES) == []
        assert self.now - began <= LONGEST_WAIT + number * SLOWEST_RATE
        self.no_rate_is_passed()

    def _configure(self, name: str) -> None:
        self.called[name].clear()
        rate = self.rates[name] or (None, None, None)
        named = dict(zip(("rate_calls", "rate_per", "rate_burst"), rate, strict=True))
        self._run(configure(self.database.connection, name, **CHANNELS[name], **named))

    def _claim(self, names: Sequence[str], slots: int) -> list[Call]:
        """Claim, and see that no breaker lets more through than it may."""
        is_shut = dict(map(tuple, self._fetch(OPEN)))
        self._fetch(LOOK_AT_ALL)
        claimed = self._run(claim(self.database.connection, *names, slots=slots))
        for name in names:
            count = sum(delivery.channel == name for delivery in claimed)
            self.called[name] += [self.now] * count
            assert count <= {None: slots, False: 1, True: 0}[is_shut.get(name)]
        return [(delivery.delivery_id, delivery.claim_id) for delivery in claimed]

    def _record(self, calls: Sequence[Call], kinds: Sequence[str]) -> None:
        statement = (
            "select * from chimeway.record('d1', $1, $2, $3, $4, $4, $5, null, null, null, null)"
        )
        number = min(len(calls), len(kinds))
        answers = self._fetch(
            statement,
            *map(list, zip(*calls[:number], strict=True)),
            kinds[:number],
            [0.0] * number,
            ["said"] * number,
        )
        assert [row["verdict"] for row in answers] == ["applied"] * number

    def _beat(self, daemon_id: int) -> None:
        statement = "select chimeway.heartbeat($1, 'd', '1', '{quick}', '{}', '1 minute')"
        self._fetch(statement, daemon_id)

    def _flying(self) -> list[Call]:
        return [(row[0], row[1]) for row in self._fetch(FLYING)]

    def _set_now(self, now: datetime) -> None:
        if now < self.now:
            for called in self.called.values():
                called.clear()
        self.now = now
        self._run(set_clock(self.database.connection, now))

    def _fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        return self.database.run(self.database.connection.fetch(query, *arguments))

    def _run(self, call: Any) -> Any:
        return self.database.run(call)
