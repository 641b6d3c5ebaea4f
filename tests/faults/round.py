"""One round of a case: what the case works with, and the frame around it.

cluster ─▶ ledger ─▶ load ─▶ the case: daemons, a fault ─▶ load ends ─▶ all terminal ─▶ audit
"""

import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

import anyio
import asyncpg

from faults.audit import Audit, Expected, audit, note_terminal
from faults.cluster import NOT_YET, Cluster, Connection, Mould, connected
from faults.daemon_process import Daemon
from faults.ledger import Ledger
from faults.load import Load, Stream, read
from faults.proxy import Proxy, proxied

CONCURRENCY = 50
IN_HAND = 3 * CONCURRENCY
"""Calls of a daemon that may be under way, or made and not recorded yet."""
LOOK_SECONDS = 0.1
SNAPSHOT_SECONDS = 0.5
STOP_SECONDS = 60.0

Channels: TypeAlias = "Mapping[str, Mapping[str, Any]]"

RETRY: Mapping[str, Any] = {"schedule": ["100ms", "200ms"], "max_attempts": 100, "jitter": 0.5}
HOOKS: Mapping[str, Any] = {
    "adapter": "webhook",
    "timeout": "1s",
    "concurrency": CONCURRENCY,
    "retry": RETRY,
    "settings": {"connect_timeout": "1s", "allow_networks": ["127.0.0.0/8"]},
}
CHANNELS: Channels = {
    "hooks": HOOKS,
    "once": {**HOOKS, "on_uncertain": "hold"},
}

OPEN = "select count(*) from chimeway.deliveries where finished_at is null"
RECOVERED = """
select extract(epoch from max(d.finished_at))::float8
from chimeway.deliveries as d
where d.inserted_at <= to_timestamp($1)
"""


@dataclass(frozen=True, slots=True)
class Result:
    """What a round came to."""

    case: str
    seed: str
    audit: Audit | None
    recovery_seconds: float | None
    problems: Sequence[str]
    missed: Sequence[str] = ()
    """Targets of time: what took longer than it should."""
    facts: Mapping[str, float] = field(default_factory=dict)


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
    paths: Sequence[str] = ("ok", "ok", "slow?ms=300")
    rate: float = 200.0
    postgres: Mapping[str, str] = field(default_factory=dict)
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


async def perform(case: Case, nth: int, mould: Mould, frame: Frame) -> Result:
    """Run one round and audit it; whatever happens ends within the case's deadline."""
    name = f"{case.name}-{nth}"
    directory, seed = mould.directory / name, f"{frame.seed} {name}"
    problems: list[str] = []
    try:
        with anyio.fail_after(case.deadline_seconds):
            random = Random(seed)  # noqa: S311 - to be repeated, not to be kept secret
            async with _set_up(case, directory, random, mould) as round_:
                round_.problems, round_.is_long = problems, frame.is_long
                await _under_load(case, round_)
                result = await _judge(case, round_, seed)
    except Exception as error:  # noqa: BLE001 - a round's trouble is a line in the table
        result = Result(case.name, seed, None, None, [*problems, _inner(error)])
    if frame.logs is not None and (result.problems or result.missed):
        ours = shutil.ignore_patterns("data", "wal", "small", ".s.*")
        shutil.copytree(directory, frame.logs / name, ignore=ours, dirs_exist_ok=True)
    shutil.rmtree(directory, ignore_errors=True)
    return result


def _inner(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(map(_inner, error.exceptions))
    return f"{type(error).__name__}: {error}"


@asynccontextmanager
async def _set_up(
    case: Case, directory: Path, random: Random, mould: Mould
) -> AsyncIterator[Round]:
    cluster, ledger = Cluster(mould, directory, case.postgres), Ledger(directory)
    round_ = Round(random, directory, cluster, ledger, rate=case.rate)
    try:
        if case.room_megabytes is None:
            await cluster.copy_mould()
            await cluster.start()
        else:
            log = directory / "wal" if random.random() < 1 / 2 else None
            await cluster.start_in(case.room_megabytes, log)
        await ledger.start()
        round_.streams = _streams(ledger, case.paths)
        async with round_.resources:
            yield round_
    finally:
        for daemon in round_.daemons.values():
            daemon.end()
        ledger.end()
        cluster.end()


def _streams(ledger: Ledger, paths: Sequence[str]) -> list[Stream]:
    hooks = [Stream("hooks", f"{ledger.url}/{path}", 9 / len(paths)) for path in paths]
    return [*hooks, Stream("once", f"{ledger.url}/{paths[-1]}")]


async def _under_load(case: Case, round_: Round) -> None:
    async def connect() -> Connection:
        return await asyncpg.connect(round_.cluster.dsn, timeout=5)

    file = round_.directory / "producers"
    load = Load(connect, lambda: round_.streams, round_.rate, round_.random, file)
    async with anyio.create_task_group() as group:
        group.start_soon(load.run)
        group.start_soon(_keep_noting, round_)
        await case.perform(round_)
        await round_.moment(0.3, 0.6)
        await load.stop()
        await _until_drained(round_, case.drain_seconds)
        group.cancel_scope.cancel()


async def _keep_noting(round_: Round) -> None:
    while True:
        await anyio.sleep(SNAPSHOT_SECONDS)
        with suppress(*NOT_YET, asyncpg.PostgresError):
            async with connected(round_.cluster.dsn) as connection:
                await note_terminal(connection)


async def _until_drained(round_: Round, seconds: float) -> None:
    """Wait until every delivery is terminal; the audit says which are not, if it takes too long."""
    with anyio.move_on_after(seconds):
        while True:
            with suppress(*NOT_YET, asyncpg.PostgresError):
                async with connected(round_.cluster.dsn) as connection:
                    while await connection.fetchval(OPEN):  # noqa: ASYNC110 - rows are no event
                        await anyio.sleep(LOOK_SECONDS)
                    return
            await anyio.sleep(LOOK_SECONDS)


async def _judge(case: Case, round_: Round, seed: str) -> Result:
    expected = Expected(
        round_.ledger.url if round_.works else None,
        round_.once,
        round_.duplicates_at_most,
        round_.waits,
    )
    logged = [line for daemon in round_.daemons.values() for line in daemon.lines()]
    # The load is over and everything is terminal: nothing moves between the three looks.
    for daemon in round_.daemons.values():
        if daemon.is_running:
            await daemon.stop(STOP_SECONDS)
    async with connected(round_.cluster.dsn) as connection:
        told, calls = read(round_.directory / "producers"), round_.ledger.count()
        found = await audit(connection, told, calls, logged, expected)
        recovery = await _recovery(connection, round_.recovery_from)
    problems = [*round_.problems, *found.problems, *_loud(logged)]
    missed = [*round_.missed]
    if recovery is not None and case.recovers_within and recovery > case.recovers_within:
        missed.append(
            f"recovery took {recovery:.1f} s, at most {case.recovers_within:g} s aimed at"
        )
    return Result(case.name, seed, found, recovery, problems, missed, round_.facts)


async def _recovery(connection: Connection, since: float | None) -> float | None:
    if since is None:
        return None
    last = await connection.fetchval(RECOVERED, since)
    return max(0.0, last - since) if last is not None else None


def _loud(logged: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name the events that say that the daemon itself is broken."""
    broken = {"daemon_failed", "sweep_failed", "record_failed", "adapter_misbehaved"}
    found = [line for line in logged if line.get("event") in broken]
    return [f"{line['event']}: {str(line)[-300:]}" for line in found[:2]]
