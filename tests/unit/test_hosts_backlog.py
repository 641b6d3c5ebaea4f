"""A host with a long backlog: played through against a clock of our own, until all is sent."""

import heapq

import pytest
from deliveries import deliveries

from chimewayd.hosts import Hosts
from chimewayd.models import Delivery, Unsent

LOOK_SECONDS = 0.1
CLAIM = 40
"""Deliveries that come at one look, at most."""


class Played:
    """One host whose calls all take as long, and the queue that what it sends away goes back to."""

    def __init__(self, count: int, limit: int, call_seconds: float) -> None:
        self.now = 0.0
        self.ended = 0
        self._hosts = Hosts(limit)
        self._call_seconds = call_seconds
        self._deliveries = deliveries(count, recipient="https://a.example/")
        self._nth = {one.delivery_id: nth for nth, one in enumerate(self._deliveries)}
        self._queue = [(0.0, nth) for nth in range(count)]
        self._under_way: list[tuple[float, int]] = []

    def look(self) -> None:
        """End what is over, send away what is too slow, claim what is due."""
        while self._under_way and self._under_way[0][0] <= self.now:
            _, nth = heapq.heappop(self._under_way)
            self.ended += 1
            if following := self._hosts.finish(self._deliveries[nth], self.now):
                self._begin(following)
        for unsent in self._hosts.shed(self.now):
            self._put_back(unsent)
        for _ in range(CLAIM):
            if not self._queue or self._queue[0][0] > self.now:
                break
            self._admit(self._deliveries[heapq.heappop(self._queue)[1]])
        self.now += LOOK_SECONDS

    def _admit(self, one: Delivery) -> None:
        place = self._hosts.admit(one, self.now)
        if isinstance(place, Unsent):
            self._put_back(place)
        elif place:
            self._begin(one)

    def _begin(self, one: Delivery) -> None:
        self._hosts.start(one, self.now)
        ends_at = self.now + self._call_seconds
        heapq.heappush(self._under_way, (ends_at, self._nth[one.delivery_id]))

    def _put_back(self, unsent: Unsent) -> None:
        assert unsent.wait is not None
        due_at = self.now + unsent.wait.total_seconds()
        heapq.heappush(self._queue, (due_at, self._nth[unsent.delivery.delivery_id]))


@pytest.mark.parametrize(
    ("count", "limit", "call_seconds"), [(1000, 1, 1.0), (1500, 5, 4.0)], ids=["alone", "several"]
)
def test_host_is_kept_busy_however_long_its_backlog(
    count: int, limit: int, call_seconds: float
) -> None:
    played = Played(count, limit, call_seconds)
    without_a_pause = count * call_seconds / limit

    while played.ended < count and played.now < 2 * without_a_pause:
        played.look()

    assert played.ended == count
    # A look comes a little after the end that it is to see.
    assert played.now < 1.2 * without_a_pause
