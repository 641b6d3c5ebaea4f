"""How much is in hand of one channel, or of all, and how much more there may be."""

from collections import deque

from chimewayd.hosts import Hosts
from chimewayd.models import Delivery


class Load:
    """Deliveries in hand against a limit of calls at one time."""

    def __init__(self, limit: int) -> None:
        self.allow(limit)
        self.running = 0
        self.open = 0
        """In hand, and the call has not ended; less what waits in line for a busy host."""
        self.in_hand = 0
        self.expected = 0
        """A claim under way may bring so many."""

    def allow(self, limit: int, *, waits: bool = True) -> None:
        """Set the limit; what is in hand beyond it stays until it is done."""
        self.limit = limit
        self.waits = waits
        """Whether as many again may wait in hand."""
        self._may_be_open = 2 * limit if waits else limit
        self._may_be_in_hand = 4 * limit

    @property
    def room(self) -> int:
        """How many more may be claimed."""
        may_open = self._may_be_open - self.open
        return min(may_open, self._may_be_in_hand - self.in_hand) - self.expected

    @property
    def is_low(self) -> bool:
        """Whether it is time to refill: not for each single call that ends, and not too late."""
        return 2 * self.room >= self.limit

    def take(self, count: int) -> None:
        self.open += count
        self.in_hand += count

    def finish(self) -> bool:
        """A call ended; tell whether it is time to refill, and was not before."""
        self.running -= 1
        self.open -= 1
        # Asked of each call, so without a second look: one more is open to claim than before,
        # unless what is in hand stands in the way.
        may_open = self._may_be_open - self.open
        if not self.limit <= 2 * (may_open - self.expected) < self.limit + 2:
            return False
        return may_open <= self._may_be_in_hand - self.in_hand

    def free(self, count: int) -> bool:
        """So many are recorded or released; tell as `finish` does."""
        was_low = self.is_low
        self.in_hand -= count
        return self.is_low and not was_low


class Lane(Load):
    """One channel's deliveries in hand."""

    def __init__(self, channel: str, limit: int) -> None:
        super().__init__(limit)
        self.channel = channel
        self.waiting: deque[Delivery] = deque()
        self.is_served = True
        """A channel that is not served any more keeps its lane: a claim may be under way."""

        self.is_kept_waiting = False
        """It has room, but claims pass over it until what waits in hand has begun."""

        self.hosts: Hosts | None = None
        """None: any host may have all the calls."""

    @property
    def is_startable(self) -> bool:
        return self.running < self.limit and bool(self.waiting)

    def limit_hosts(self, limit: int | None) -> None:
        """Set how many calls a host may have; what waited for one begins if it may by that."""
        if limit is None:
            may_begin = self.hosts.give_up_lines() if self.hosts else []
            self.hosts = None
        elif self.hosts is None:
            may_begin, self.hosts = [], Hosts(limit)
        else:
            may_begin = self.hosts.allow(limit)
        self.waiting.extend(may_begin)
        self.open += len(may_begin)

    def give_up_waiting(self) -> list[Delivery]:
        given_up = list(self.waiting)
        self.waiting.clear()
        self.open -= len(given_up)
        if self.hosts:
            in_line = self.hosts.give_up_lines()
            for delivery in given_up:
                self.hosts.leave(delivery)
            given_up += in_line
        return given_up
