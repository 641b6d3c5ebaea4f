"""The leases this process holds, on its own monotonic clock.

A lease counts from the moment before its claim or heartbeat was sent, so that what is left here
is never more than what the database grants. A call begins only if all of it fits into what is
left: a process that was stopped between claim and call sends nothing (the call gate).

Who is silent for SILENT_SECONDS, and whose session is gone, is taken for dead by the others, lease
or no lease. So nothing begins here either when our last heartbeat is almost as old as that.
"""

import math
from collections import Counter
from collections.abc import Iterable

from chimewayd.models import Delivery

SILENT_SECONDS = 20.0
GATE_MARGIN_SECONDS = 5.0


class Leases:
    """claim id → when it ends and how many deliveries are still under it."""

    def __init__(self, lease_seconds: float) -> None:
        self._lease_seconds = lease_seconds
        self._ends: dict[int, float] = {}
        self._open: dict[int, int] = {}
        self.claimed_at: dict[int, float] = {}
        """When each claim was asked for."""
        self._doubted_until = 0.0
        self._heard_until = math.inf
        """No call begins later, unless another heartbeat is answered first."""

    def begin(self, deliveries: list[Delivery], sent_at: float) -> None:
        """Deliveries were claimed by a request sent at `sent_at`: one claim, one lease."""
        if self._heard_until == math.inf:
            self._hear(sent_at)
        if deliveries:
            claim_id = deliveries[0].claim_id
            self._ends[claim_id] = sent_at + self._lease_seconds
            self._open[claim_id] = len(deliveries)
            self.claimed_at[claim_id] = sent_at

    def extend(self, claim_ids: Iterable[int], sent_at: float) -> None:
        """A heartbeat sent at `sent_at` was answered: these go on from there."""
        self._hear(sent_at)
        for claim_id in claim_ids:
            if claim_id in self._ends:
                self._ends[claim_id] = sent_at + self._lease_seconds

    def drop(self, claim_ids: Iterable[int]) -> list[int]:
        """Forget leases that the database says are not ours; return those we thought were."""
        lost = [claim_id for claim_id in claim_ids if self._ends.pop(claim_id, None) is not None]
        for claim_id in lost:
            self._open.pop(claim_id, None)
            self.claimed_at.pop(claim_id, None)
        return lost

    def leave(self, deliveries: Iterable[Delivery]) -> None:
        """These are recorded or released; the last one of a claim ends its lease."""
        for claim_id, count in Counter([d.claim_id for d in deliveries]).items():
            left = self._open.get(claim_id, 0) - count
            if left > 0:
                self._open[claim_id] = left
            else:
                self._open.pop(claim_id, None)
                self._ends.pop(claim_id, None)
                self.claimed_at.pop(claim_id, None)

    def fits(self, claim_id: int, now: float, call_seconds: float) -> bool:
        """Whether a call that may take `call_seconds` ends within the lease, and we are heard."""
        return now + call_seconds <= self._ends.get(claim_id, 0.0) and now <= self._heard_until

    def is_heard(self, now: float) -> bool:
        """Whether our last heartbeat is young enough for a call to begin."""
        return now <= self._heard_until

    def has_ended(self, now: float) -> bool:
        """Whether a lease ran out and was not extended: its outcomes may be told all the same."""
        return any(end <= now for end in self._ends.values())

    def _hear(self, sent_at: float) -> None:
        self._heard_until = sent_at + SILENT_SECONDS - GATE_MARGIN_SECONDS

    def doubt(self, until: float) -> None:
        """A claim was not answered: until then it may come into being without our hearing of it."""
        self._doubted_until = until

    def has_doubt(self, now: float) -> bool:
        return now < self._doubted_until

    @property
    def claim_ids(self) -> list[int]:
        return list(self._ends)
