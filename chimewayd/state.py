"""What the stages of one daemon share: where it stands, and what a reload changes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

import anyio

from chimewayd import db
from chimewayd.breakers import Breakers
from chimewayd.config import Settings
from chimewayd.config_channel import BreakerPolicy
from chimewayd.counts import Counts
from chimewayd.leases import Leases
from chimewayd.listen import Bell
from chimewayd.models import Report, Unsent
from chimewayd.outage import Outage
from chimewayd.outbox import Outbox
from chimewayd.readiness import Readiness
from chimewayd.run import Calls, Channel
from chimewayd.slots import Slots
from chimewayd.startup import Sessions
from chimewayd.systemd import Notifier
from chimewayd.tracing import Trace

MIB = 1024 * 1024


@dataclass(slots=True)
class State:
    """One daemon."""

    settings: Settings
    """In force now."""
    reread: Callable[[], Settings]
    """Reads the settings anew."""
    sessions: Sessions
    me: db.Identity
    channels: dict[str, Channel]
    """What is served, by name."""
    calls: Calls
    breakers: Breakers
    notifier: Notifier
    daemons: dict[str, int] = field(default_factory=dict)
    """Living ones that serve a channel, we among them, where they share; unknown: one."""
    max_attempts: dict[str, int] = field(default_factory=dict)
    """Of each channel, for the log."""
    outage: Outage = field(default_factory=Outage)
    bell: Bell = field(default_factory=Bell)
    readiness: Readiness = field(default_factory=Readiness)
    reload: Bell = field(default_factory=Bell)
    stop: anyio.Event = field(default_factory=anyio.Event)
    is_config_current: bool = True
    """The last reload was not refused."""
    reloaded_at: datetime | None = None
    """When the last reload came into force; None: never."""
    standing: list[str] = field(default_factory=list)
    """Stages that stand still."""
    counts: Counts = field(default_factory=Counts)
    trace: Trace | None = None
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def outboxes(self) -> dict[str, Outbox[Any]]:
        """What waits for a stage, by the stage."""
        return {"record": self.calls.reports, "release": self.calls.unsent}


def begin(
    settings: Settings,
    reread: Callable[[], Settings],
    sessions: Sessions,
    me: db.Identity,
    channels: dict[str, Channel],
    notifier: Notifier,
) -> State:
    """Begin with nothing in hand."""
    calls = Calls(
        channels=channels,
        slots=Slots(*limits(settings, {})),
        leases=Leases(settings.lease.total_seconds()),
        reports=Outbox[Report](),
        unsent=Outbox[Unsent](),
    )
    breakers = Breakers(breaker_policies(settings), partial(_give_back, calls))
    return State(
        *(settings, reread, sessions, me, channels, calls, breakers, notifier),
        max_attempts=max_attempts(settings),
    )


def _give_back(calls: Calls, channel: str, reason: str) -> None:
    waiting = calls.slots.give_up_waiting([channel])
    calls.unsent.put_all([Unsent(delivery, reason) for delivery in waiting])


def limits(
    settings: Settings, daemons: Mapping[str, int]
) -> tuple[int, dict[str, int], int, list[str], dict[str, int | None]]:
    """Return what limits the deliveries in hand, as `Slots` takes it."""
    channels = settings.channels
    return (
        settings.concurrency,
        {name: channel.concurrency for name, channel in channels.items()},
        settings.payload_budget_mib * MIB,
        [name for name, channel in channels.items() if channel.rate],
        {
            name: share(channel.host_concurrency, daemons.get(name, 1))
            for name, channel in channels.items()
        },
    )


def share(limit: int | None, daemons: int) -> int | None:
    """Return what one of so many may use of a limit; none of them may stand still."""
    return None if limit is None else max(limit // daemons, 1)


def breaker_policies(settings: Settings) -> dict[str, BreakerPolicy]:
    return {name: channel.breaker for name, channel in settings.channels.items()}


def max_attempts(settings: Settings) -> dict[str, int]:
    return {name: channel.retry.max_attempts for name, channel in settings.channels.items()}
