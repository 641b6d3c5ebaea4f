"""The deliveries in hand: the only mutable state of the process.

    room() ─▶ claim ─▶ take() ─▶ queue() ─▶ next() ─▶ a call ─▶ finish() ─▶ record ─▶ free()

A channel runs at most its own limit, all channels together at most `concurrency`. As many again
may wait, so that a call that ends finds the next one here: a claim asks for that room, and room
is given back only when the outcome is recorded, so nothing piles up behind a slow database.

Plain functions that decide; whoever calls them does the waiting.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence

import anyio

from chimewayd.models import Delivery

CLAIM_LIMIT = 500
"""Deliveries a claim may bring: larger batches gain nothing and hold their locks for longer."""


class Lane:
    """One channel's deliveries in hand."""

    def __init__(self, channel: str, limit: int) -> None:
        self.channel = channel
        self.limit = limit
        self.waiting: deque[Delivery] = deque()
        self.running = 0
        self.in_hand = 0
        self.open = 0
        """In hand, and its call has not ended."""

    @property
    def is_half_empty(self) -> bool:
        return self.in_hand <= self.limit

    @property
    def is_startable(self) -> bool:
        return self.running < self.limit and bool(self.waiting)


class Slots:
    """Counts what is in hand and says what may be claimed and started next."""

    def __init__(self, concurrency: int, limits: Mapping[str, int]) -> None:
        self.concurrency = concurrency
        self.running = 0
        self.waiting = 0
        self.in_hand = 0
        self._lanes = {name: Lane(name, min(limit, concurrency)) for name, limit in limits.items()}
        self._turns = deque(self._lanes.values())
        self._freed = anyio.Event()
        self._when_room: Callable[[], None] = lambda: None

    def when_room(self, tell: Callable[[], None]) -> None:
        """Have `tell` called whenever a channel that `room` passed over may be claimed again."""
        self._when_room = tell

    def room(self) -> tuple[dict[str, int], int]:
        """How many may be claimed: of each channel, and in all; channels take turns in front.

        A channel is refilled by halves, too: otherwise an idle one beside it would have it
        claimed for each single slot.
        """
        free = min(2 * self.concurrency - self.in_hand, CLAIM_LIMIT)
        self._turns.rotate(-1)
        lanes = [lane for lane in self._turns if lane.is_half_empty]
        return {lane.channel: 2 * lane.limit - lane.in_hand for lane in lanes}, free

    @property
    def is_half_empty(self) -> bool:
        """Whether it is time to refill: not for each single slot, and not too late."""
        return (self.in_hand <= self.concurrency or self._is_held_up) and any(
            lane.is_half_empty for lane in self._turns
        )

    @property
    def _is_held_up(self) -> bool:
        # What waits for a channel that hangs must not take the others' room.
        startable = sum(min(lane.open, lane.limit) for lane in self._turns)
        return self.in_hand < 2 * self.concurrency and startable < self.concurrency

    async def wait_for_room(self) -> None:
        """Return once `is_half_empty`."""
        while not self.is_half_empty:
            await self._freed.wait()

    def take(self, deliveries: Sequence[Delivery]) -> None:
        """Count claimed deliveries as in hand."""
        for delivery in deliveries:
            lane = self._lanes[delivery.channel]
            lane.in_hand += 1
            lane.open += 1
        self.in_hand += len(deliveries)

    def queue(self, deliveries: Sequence[Delivery]) -> None:
        """Put deliveries in hand in line for their call."""
        for delivery in deliveries:
            self._lanes[delivery.channel].waiting.append(delivery)
        self.waiting += len(deliveries)

    def next(self) -> Delivery | None:
        """Start the next delivery that may run; channels take turns. None: nothing may."""
        if self.running >= self.concurrency:
            return None
        turns = self._turns
        for _ in range(len(turns)):
            lane = turns[0]
            if lane.is_startable:
                if len(turns) > 1:
                    turns.rotate(-1)
                lane.running += 1
                self.running += 1
                self.waiting -= 1
                return lane.waiting.popleft()
            turns.rotate(-1)
        return None

    def finish(self, delivery: Delivery) -> None:
        """The call is over; its outcome is still in hand."""
        lane = self._lanes[delivery.channel]
        lane.running -= 1
        lane.open -= 1
        self.running -= 1

    def free(self, deliveries: Sequence[Delivery]) -> None:
        """Recorded or released: no longer in hand."""
        self.in_hand -= len(deliveries)
        for channel, count in Counter(d.channel for d in deliveries).items():
            lane = self._lanes[channel]
            was_passed_over = not lane.is_half_empty
            lane.in_hand -= count
            if was_passed_over and lane.is_half_empty:
                self._when_room()
        if self.is_half_empty and not self._freed.is_set():
            self._freed.set()
            self._freed = anyio.Event()

    def give_up_waiting(self) -> list[Delivery]:
        """Take out of the line what was not started; it stays in hand until it is released."""
        waiting = [delivery for lane in self._turns for delivery in lane.waiting]
        for lane in self._turns:
            lane.open -= len(lane.waiting)
            lane.waiting.clear()
        self.waiting = 0
        return waiting
