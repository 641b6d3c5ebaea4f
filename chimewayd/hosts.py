"""The hosts that a channel calls: how many calls each may have, and what is done with the rest.

    claimed ─▶ a call free at its host? ─┬─ yes ──────────────▶ ready ─▶ call ─▶ finish
                                         ├─ soon ─▶ line of the host ─▶ ready ◀──┘
                                         └─ no ──▶ given back for a while
                                                      ▲ so is who waits in line when it turns slow

A host that is slow must not fill the channel: what cannot begin soon goes back to the queue, due
about when it is its turn by the pace that the host keeps. Those whose turn is further off than
the longest wait are spread over all of it, so that the host always finds somebody in line.

Plain functions that decide; times are seconds on the monotonic clock.
"""

import math
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeAlias
from urllib.parse import urlsplit
from uuid import UUID

from chimewayd.models import Delivery, Unsent

SOON_SECONDS = 0.1
"""What a host can begin within this waits in hand: to give it back would take as long."""

SHORTEST_DEFERRAL_SECONDS = 0.25
"""Of a host whose pace is not known yet."""

LONGEST_DEFERRAL_SECONDS = 300.0
"""A host that recovers is not left alone for longer."""

RETURN_EARLY = 0.8
"""The share of the reckoned wait after which they come back, so that the line is never empty."""

KNOWN_HOSTS = 1000
"""More than these are remembered only while something is in hand for them."""


def host_of(recipient: str) -> str:
    """Return what a recipient shares with others: a URL's host, a mail address's domain.

    Anything else stands for itself.
    """
    if "://" in recipient:
        try:
            return urlsplit(recipient).hostname or recipient
        except ValueError:
            return recipient
    _, at, domain = recipient.rpartition("@")
    return domain.strip("> ").lower() if at else recipient


Key: TypeAlias = tuple[UUID, int]
"""Delivery and claim: one whose lease was lost may be called again meanwhile."""


@dataclass(slots=True)
class Host:
    """One host."""

    taken: set[Key] = field(default_factory=set)
    """Calls under way, and deliveries that may begin; none of those from before the limit."""
    line: deque[Delivery] = field(default_factory=deque)
    started: dict[Key, float] = field(default_factory=dict)
    call_seconds: float = 0.0
    """How long its calls take, lately."""
    turn_at: float = 0.0
    """When the last one that was given back may have its turn."""

    def seconds_a_call(self, now: float) -> float:
        oldest = min(self.started.values(), default=now)
        return max(self.call_seconds, now - oldest)

    def next_in_line(self) -> Delivery:
        """Let the first in line begin."""
        delivery = self.line.popleft()
        self.taken.add(_key(delivery))
        return delivery

    def note(self, seconds: float, now: float) -> None:
        before = self.call_seconds
        self.call_seconds = (before + seconds) / 2 if before else seconds
        if seconds < before / 2:
            # It recovers: who comes now need not stand behind those who were sent away.
            self.turn_at = now


class Hosts:
    """The hosts of one channel's deliveries in hand."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._hosts: dict[str, Host] = {}

    def admit(self, delivery: Delivery, now: float) -> Unsent | bool:
        """Take in a delivery: True, it may begin; False, it waits in line; else it goes back."""
        host = self._host(host_of(delivery.recipient), now)
        if len(host.taken) < self.limit:
            host.taken.add(_key(delivery))
            return True
        if len(host.line) < self._fitting(host, now):
            host.line.append(delivery)
            return False
        return self._send_away(host, delivery, now)

    def allow(self, limit: int) -> list[Delivery]:
        """Set the limit; return those in line who may begin by it."""
        self.limit = limit
        begun: list[Delivery] = []
        for host in self._hosts.values():
            while host.line and len(host.taken) < limit:
                begun.append(host.next_in_line())
        return begun

    def shed(self, now: float) -> list[Unsent]:
        """Send away what waits in line for a host that has become slow."""
        unsent = []
        for host in self._hosts.values():
            if len(host.line) > self.limit:
                surplus = max(len(host.line) - self._fitting(host, now), 0)
                last = [host.line.pop() for _ in range(int(surplus))]
                unsent += [self._send_away(host, delivery, now) for delivery in reversed(last)]
        return unsent

    def _fitting(self, host: Host, now: float) -> float:
        """How many may wait in line: those that can begin soon, and at least as many as may run.

        A host that is met for the first time has no pace: all of them, until it shows one.
        """
        pace = host.seconds_a_call(now) / self.limit
        return max(self.limit, SOON_SECONDS // pace if pace else math.inf)

    def _send_away(self, host: Host, delivery: Delivery, now: float) -> Unsent:
        pace = host.seconds_a_call(now) / self.limit
        soonest = now + len(host.line) * pace
        host.turn_at = max(host.turn_at, soonest) + pace
        if RETURN_EARLY * (host.turn_at - now) > LONGEST_DEFERRAL_SECONDS:
            # There are more than it can have in that time. These come back all along it, beside
            # the ones before them: together at its end, the host would have nothing to do between
            # one crowd and the next.
            host.turn_at = soonest + pace
        seconds = min(RETURN_EARLY * (host.turn_at - now), LONGEST_DEFERRAL_SECONDS)
        return Unsent(
            delivery,
            f"host_concurrency: its host has all of its {self.limit} calls under way here",
            timedelta(seconds=max(seconds, SHORTEST_DEFERRAL_SECONDS)),
        )

    def start(self, delivery: Delivery, now: float) -> None:
        """A call begins."""
        if host := self._hosts.get(host_of(delivery.recipient)):
            host.started[_key(delivery)] = now

    def finish(self, delivery: Delivery, now: float, *, was_made: bool = True) -> Delivery | None:
        """A call is over, or was not made; return who may begin in its place."""
        host = self._hosts.get(host_of(delivery.recipient))
        if host is None:
            return None
        started = host.started.pop(_key(delivery), None)
        if started is None:
            # It began before there was a limit.
            return None
        if was_made:
            host.note(now - started, now)
        return self.leave(delivery)

    def leave(self, delivery: Delivery) -> Delivery | None:
        """One that might have begun is gone; return who may begin in its place."""
        host = self._hosts.get(host_of(delivery.recipient))
        if host is None or (key := _key(delivery)) not in host.taken:
            return None
        host.taken.remove(key)
        if not host.line or len(host.taken) >= self.limit:
            return None
        return host.next_in_line()

    def give_up_lines(self) -> list[Delivery]:
        """Take out all that wait in line."""
        given_up = [delivery for host in self._hosts.values() for delivery in host.line]
        for host in self._hosts.values():
            host.line.clear()
        return given_up

    def _host(self, name: str, now: float) -> Host:
        if host := self._hosts.get(name):
            return host
        if len(self._hosts) >= KNOWN_HOSTS:
            self._hosts = {
                known: host
                for known, host in self._hosts.items()
                if host.taken or host.line or host.turn_at > now
            }
        host = self._hosts[name] = Host()
        return host


def _key(delivery: Delivery) -> Key:
    return delivery.delivery_id, delivery.claim_id


def clock() -> float:
    return time.monotonic()
