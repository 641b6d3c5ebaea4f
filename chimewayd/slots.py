"""The deliveries in hand: the only mutable state of the process.

    room() ─▶ claim ─▶ take() ─▶ queue() ─▶ next() ─▶ a call ─▶ finish() ─▶ record ─▶ free()
                       └──────────────── open ───────────────┘
                       └─────────────────────────── in hand ───────────────────────────────┘

A channel runs at most its own limit, all channels together at most `concurrency`. As many again
may wait, so that a call that ends finds the next one here, and twice as many may be on their way
to the database: a batch on each of two sessions. Nothing waits on a channel with a rate: its calls
are counted when they are claimed, and those that wait would all begin at once when they may. Where
other channels have all the slots, no more of it is claimed until what was claimed has begun. More
room is given only when outcomes are recorded: nothing piles up behind a slow database.

Payloads in hand have a budget, too. What a claim will bring is not known before: it asks for no
more than fits if payloads are as large as in the claim before, and for at least one.

Plain functions that decide; whoever calls them does the waiting.
"""

from collections import Counter, deque
from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from uuid import UUID

import anyio

from chimewayd.hosts import clock
from chimewayd.lanes import Lane, Load
from chimewayd.models import SUSPECT_AFTER_LOSSES, Delivery, Room, Unsent

CLAIM_LIMIT = 500
"""Deliveries a claim may bring: larger batches gain nothing and hold their locks for longer."""

LARGEST_BYTES = 256 * 1024
"""Size of the largest payload that may be inserted: what a first claim reckons with."""


class Slots:
    """Counts what is in hand and says what may be claimed and started next."""

    def __init__(
        self,
        concurrency: int,
        limits: Mapping[str, int],
        payload_budget_bytes: int,
        rated: Collection[str] = (),
        host_limits: Mapping[str, int | None] = MappingProxyType({}),
    ) -> None:
        self.payload_bytes = 0
        self.done = 0
        """Deliveries recorded or given back so far."""
        self._expected_bytes = LARGEST_BYTES
        self._suspects = 0
        self.waiting = 0
        self._all = Load(concurrency)
        self._lanes: dict[str, Lane] = {}
        self._turns: deque[Lane] = deque()
        self._freed = anyio.Event()
        self._when_room: Callable[[], None] = lambda: None
        self.configure(concurrency, limits, payload_budget_bytes, rated, host_limits)

    def configure(
        self,
        concurrency: int,
        limits: Mapping[str, int],
        payload_budget_bytes: int,
        rated: Collection[str],
        host_limits: Mapping[str, int | None],
    ) -> None:
        """Set the limits, and by them the channels that are served."""
        self.concurrency = concurrency
        self._all.allow(concurrency)
        self._payload_budget_bytes = payload_budget_bytes
        for name, limit in limits.items():
            if name not in self._lanes:
                self._lanes[name] = Lane(name, limit)
                self._turns.append(self._lanes[name])
            self._lanes[name].allow(min(limit, concurrency), waits=name not in rated)
            open_before = self._lanes[name].open
            self._lanes[name].limit_hosts(host_limits.get(name))
            self._all.open += self._lanes[name].open - open_before
        for lane in self._turns:
            lane.is_served = lane.channel in limits
        self.waiting = sum(len(lane.waiting) for lane in self._turns)
        self._tell(is_passed_over=True)

    @property
    def running(self) -> int:
        return self._all.running

    @property
    def in_hand(self) -> int:
        return self._all.in_hand

    @property
    def lanes(self) -> Collection[Lane]:
        """One for each channel, for onlookers."""
        return self._lanes.values()

    def when_room(self, tell: Callable[[], None]) -> None:
        """Have `tell` called whenever a channel that `room` passed over may be claimed again."""
        self._when_room = tell

    def room(self, *, with_rates: bool = True) -> Room:
        """How many may be claimed: of each channel, and in all; channels take turns in front.

        A channel is refilled by halves, too: otherwise an idle one beside it would have it
        claimed for each single slot.
        """
        self._turns.rotate(-1)
        is_full = self._all.running >= self.concurrency
        rooms: dict[str, int] = {}
        for lane in self._turns:
            if lane.is_low and lane.is_served and (with_rates or lane.waits):
                lane.is_kept_waiting = is_full and not lane.waits and bool(lane.waiting)
                if not lane.is_kept_waiting:
                    rooms[lane.channel] = lane.room
        expected_bytes = self._all.expected * self._expected_bytes
        left_bytes = self._payload_budget_bytes - self.payload_bytes - expected_bytes
        affordable = max(left_bytes // self._expected_bytes, 1)
        # More may be in hand than a limit that was lowered allows.
        limit = max(min(self._all.room, CLAIM_LIMIT, affordable), 0)
        takes_suspect = not self._suspects and not self._all.expected
        return Room(rooms, limit, takes_suspect)

    @contextmanager
    def expecting(self, room: Room, *, is_beside: bool) -> Iterator[None]:
        """Count what a claim may bring as if it were in hand, for as long as it is under way.

        `is_beside`: another claims as well, and may have passed over a channel because of this.
        """
        expected = {c: min(count, room.limit) for c, count in room.channels.items()}
        self._expect(expected, room.limit)
        try:
            yield
        finally:
            self._expect({c: -count for c, count in expected.items()}, -room.limit)
            self._tell(is_passed_over=is_beside)

    def _expect(self, channels: Mapping[str, int], limit: int) -> None:
        self._all.expected += limit
        for channel, count in channels.items():
            self._lanes[channel].expected += count

    @property
    def has_room(self) -> bool:
        """Whether it is time to refill."""
        return (
            self.payload_bytes < self._payload_budget_bytes
            and (self._all.is_low or self._is_held_up)
            and any(lane.is_low and lane.is_served for lane in self._turns)
        )

    @property
    def _is_held_up(self) -> bool:
        # What waits for a channel that hangs must not take the others' room.
        startable = sum(min(lane.open, lane.limit) for lane in self._turns)
        return self._all.room > 0 and startable < self.concurrency

    async def wait_for_room(self, at_least: int = 0) -> None:
        """Return once `has_room`; for so many, and that is looked at when outcomes are recorded."""
        while not self.has_room or self._all.room < at_least:
            await self._freed.wait()

    def take(self, deliveries: Sequence[Delivery]) -> None:
        """Count claimed deliveries as in hand."""
        for channel, count in _count(deliveries).items():
            self._lanes[channel].take(count)
        self._all.take(len(deliveries))
        if deliveries:
            taken_bytes = _bytes(deliveries)
            self.payload_bytes += taken_bytes
            self._expected_bytes = max(taken_bytes // len(deliveries), 1)
            self._suspects += _suspects(deliveries)

    def queue(self, deliveries: Sequence[Delivery]) -> list[Unsent]:
        """Put deliveries in hand in line for their call; return those whose host is too busy.

        These stay in hand until they are released.
        """
        unsent: list[Unsent] = []
        held_up = 0
        for delivery in deliveries:
            lane = self._lanes[delivery.channel]
            if lane.hosts is None or (place := lane.hosts.admit(delivery, clock())) is True:
                lane.waiting.append(delivery)
            else:
                # It may wait for long, and must not keep others from being claimed.
                lane.open -= 1
                held_up += 1
                if place:
                    unsent.append(place)
        self.waiting += len(deliveries) - held_up
        if held_up:
            self._all.open -= held_up
            self._tell(is_passed_over=True)
        return unsent

    def shed(self) -> list[Unsent]:
        """Take out of the lines of hosts those for whom it would take too long by now."""
        return [u for lane in self._turns if lane.hosts for u in lane.hosts.shed(clock())]

    def next(self) -> Delivery | None:
        """Start the next delivery that may run; channels take turns. None: nothing may."""
        if self._all.running >= self.concurrency:
            return None
        turns = self._turns
        for _ in range(len(turns)):
            lane = turns[0]
            if lane.is_startable:
                if len(turns) > 1:
                    turns.rotate(-1)
                lane.running += 1
                self._all.running += 1
                self.waiting -= 1
                delivery = lane.waiting.popleft()
                if lane.is_kept_waiting and not lane.waiting:
                    lane.is_kept_waiting = False
                    self._tell(is_passed_over=True)
                if lane.hosts:
                    lane.hosts.start(delivery, clock())
                return delivery
            turns.rotate(-1)
        return None

    def finish(self, delivery: Delivery, *, was_called: bool = True) -> None:
        """The call is over, or was not made; the delivery is still in hand."""
        lane = self._lanes[delivery.channel]
        if lane.hosts and (following := lane.hosts.finish(delivery, clock(), was_made=was_called)):
            lane.waiting.append(following)
            self.waiting += 1
            lane.open += 1
            self._all.open += 1
        has_lane = lane.finish()
        if self._all.finish() or has_lane:
            self._tell(is_passed_over=has_lane)

    def free(self, deliveries: Sequence[Delivery]) -> None:
        """Recorded or released: no longer in hand."""
        counts = _count(deliveries)
        freed = [self._lanes[channel].free(count) for channel, count in counts.items()]
        self._all.free(len(deliveries))
        self.done += len(deliveries)
        self.payload_bytes -= _bytes(deliveries)
        suspects = _suspects(deliveries)
        self._suspects -= suspects
        self._tell(is_passed_over=any(freed) or suspects > 0)

    def _tell(self, *, is_passed_over: bool) -> None:
        if is_passed_over:
            self._when_room()
        if self.has_room and not self._freed.is_set():
            self._freed.set()
            self._freed = anyio.Event()

    def startable(self) -> dict[str, UUID]:
        """Return what could start at once on each channel: nothing, while all goes well."""
        if self._all.running >= self.concurrency:
            return {}
        return {
            lane.channel: lane.waiting[0].delivery_id for lane in self._turns if lane.is_startable
        }

    def give_up_waiting(self, channels: Container[str] | None = None) -> list[Delivery]:
        """Take out of the line what was not started; it stays in hand until it is released."""
        given_up: list[Delivery] = []
        for lane in self._turns:
            if channels is None or lane.channel in channels:
                open_before = lane.open
                self.waiting -= len(lane.waiting)
                given_up += lane.give_up_waiting()
                self._all.open -= open_before - lane.open
        return given_up


def _count(deliveries: Sequence[Delivery]) -> Counter[str]:
    return Counter([delivery.channel for delivery in deliveries])


def _suspects(deliveries: Sequence[Delivery]) -> int:
    return sum([delivery.lost_count >= SUSPECT_AFTER_LOSSES for delivery in deliveries])


def _bytes(deliveries: Sequence[Delivery]) -> int:
    return sum(map(str.__sizeof__, [delivery.payload_json for delivery in deliveries]))
