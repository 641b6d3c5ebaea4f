"""What the cases share: a round to work with, and what it comes to."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

import anyio

from faults.audit import Audit
from faults.cluster import Cluster
from faults.daemon_process import Daemon
from faults.ledger import Ledger
from faults.load import Stream
from faults.proxy import Proxy, proxied

CONCURRENCY = 50
IN_HAND = 3 * CONCURRENCY
"""Calls of a daemon that may be under way, or made and not recorded yet."""

Channels: TypeAlias = "Mapping[str, Mapping[str, Any]]"

RETRY: Mapping[str, Any] = {"schedule": ["100ms", "200ms"], "max_attempts": 100, "jitter": 0.5}
HOOKS: Mapping[str, Any] = {
    "adapter": "webhook",
    # Three times what the slowest path takes: a busy machine must not make doubts.
    "timeout": "3s",
    "concurrency": CONCURRENCY,
    "retry": RETRY,
    "settings": {"connect_timeout": "1s", "allow_networks": ["127.0.0.0/8"]},
}
CHANNELS: Channels = {
    "hooks": HOOKS,
    "once": {**HOOKS, "on_uncertain": "hold"},
}

OPEN = "select count(*) from chimeway.deliveries where finished_at is null"


@dataclass(frozen=True, slots=True)
class Result:
    """What a round came to."""

    case: str
    seed: str
    audit: Audit | None
    recovery_seconds: float | None
    """From the end of the fault until all that was inserted before it is terminal."""
    problems: Sequence[str]
    missed: Sequence[str] = ()
    """Targets of time: what took longer than it should."""
    facts: Mapping[str, float] = field(default_factory=dict)
    first_seconds: float | None = None
    """From the end of the fault until the first call begins."""


@dataclass(slots=True)
class Round:
    """What a case works with."""

    random: Random
    directory: Path
    cluster: Cluster
    ledger: Ledger
    is_long: bool = False
    rate: float = 200.0
    daemons: dict[str, Daemon] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    facts: dict[str, float] = field(default_factory=dict)
    recovery_from: float | None = None
    """Unix seconds: the end of the fault, from which recovery counts."""
    duplicates_at_most: int = 0
    once: frozenset[str] = frozenset({"once"})
    works: bool = True
    """Whether what goes to /ok and /slow must succeed."""
    waits: bool = False
    streams: Sequence[Stream] = ()
    resources: AsyncExitStack = field(default_factory=AsyncExitStack)
    """What a case needs until the round is over."""

    async def daemon(
        self,
        name: str = "d1",
        *,
        dsn: str | None = None,
        channels: Channels = CHANNELS,
        environment: Mapping[str, str] | None = None,
        **settings: object,
    ) -> Daemon:
        """Start a daemon and wait until it is ready."""
        limits = {"concurrency": CONCURRENCY, "shutdown_grace": "5s"} | settings
        where = dsn or self.cluster.dsn
        one = Daemon(name, self.directory, where, channels, limits, environment or {})
        self.daemons[name] = one
        await one.start()
        return one

    async def proxy(self) -> Proxy:
        """Put a proxy in front of the cluster, until the round is over."""
        return await self.resources.enter_async_context(proxied(self.cluster.socket))

    async def moment(self, least: float = 0.5, most: float = 2.0) -> None:
        """Wait until a random moment."""
        await anyio.sleep(self.random.uniform(least, most))

    def recovers_from_now(self) -> None:
        """Say that the fault has ended."""
        self.recovery_from = time.time()

    def may_repeat(self, calls: int = IN_HAND) -> None:
        """Say that a fault may have made so many calls be repeated."""
        self.duplicates_at_most += calls

    def expect(self, is_so: bool, problem: str) -> None:
        if not is_so:
            self.problems.append(problem)


@dataclass(frozen=True, slots=True)
class Case:
    """A fault, and how it is caused."""

    name: str
    what: str
    perform: Callable[[Round], Awaitable[None]]
    rounds: int = 2
    long_rounds: int = 10
    deadline_seconds: float = 100.0
    drain_seconds: float = 75.0
    """Within this all is terminal after the fault: a lease of a minute and a bit."""
    recovers_within: float | None = 5.0
    """Besides what the calls of what piled up take at full concurrency."""
    starts_within: float | None = None
    """After an outage: the first call."""
    paths: Sequence[str] = ("ok", "ok", "slow?ms=300")
    rate: float = 200.0
    postgres: Mapping[str, str] = field(default_factory=dict)
    producers: Mapping[str, str] = field(default_factory=dict)
    """Settings of the producers' sessions."""
    room_megabytes: int | None = None
    missing: Callable[[], str | None] = lambda: None
    """Why it cannot be caused here, if so."""
    only_long: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """What all rounds of a run share."""

    seed: int
    logs: Path | None = None
    """Where rounds that broke a promise leave their logs; None: nowhere."""
    is_long: bool = False
