"""Whether the stages turn: decided from what is seen of them now and then, at no cost to them.

A stage has something to do, or it has not. Where it had something to do at two looks and nothing
of it moved in between, it stands still; where that lasts, only a new process helps. A database
that is away, or a lock that somebody holds there, is no stand-still: a new process would meet the
same.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from chimewayd.outage import Outage
from chimewayd.outbox import Outbox
from chimewayd.readiness import Readiness
from chimewayd.slots import Slots

STILL_SECONDS = 30.0
"""More than it takes to connect anew and to miss a statement's deadline."""


@dataclass(slots=True)
class Watch:
    """Since when each piece of work has been the same."""

    limit_seconds: float
    since: dict[str, tuple[Hashable, float]] = field(default_factory=dict)

    def look(self, now: float, to_do: Mapping[str, Hashable]) -> list[str]:
        """Note what each stage is at; return the stages that stand still."""
        known = self.since
        self.since = {
            stage: known[stage] if stage in known and known[stage][0] == mark else (mark, now)
            for stage, mark in to_do.items()
        }
        return sorted(
            stage for stage, (_, at) in self.since.items() if now - at > self.limit_seconds
        )


def limit_seconds(poll_interval: timedelta) -> float:
    """Return how long a stage may be at the same thing; the claim stage sleeps for a poll."""
    return STILL_SECONDS + poll_interval.total_seconds()


def to_do(
    slots: Slots,
    outboxes: Mapping[str, Outbox[Any]],
    outage: Outage,
    readiness: Readiness,
) -> dict[str, Hashable]:
    """Return each stage that has something to do, and what changes when it gets on with it."""
    marks: dict[str, Hashable] = {
        f"run of {channel}": delivery_id for channel, delivery_id in slots.startable().items()
    }
    if outage.since is None and not outage.is_behind_lock:
        if slots.has_room:
            marks["claim"] = readiness.looks
        marks |= {stage: box.taken for stage, box in outboxes.items() if not box.is_idle}
    return marks
