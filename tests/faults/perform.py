"""One round of a case: the frame around it.

cluster ─▶ ledger ─▶ load ─▶ the case: daemons, a fault ─▶ load ends ─▶ all terminal ─▶ audit
"""

import shutil
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import anyio
import asyncpg

from faults.audit import Expected, audit, note_terminal
from faults.cluster import NOT_YET, Cluster, Connection, Mould, connected
from faults.ledger import Ledger
from faults.load import Load, Stream, read
from faults.round import CONCURRENCY, OPEN, Case, Frame, Result, Round

LOOK_SECONDS = 0.1
SNAPSHOT_SECONDS = 0.5
SNAPSHOT_REST = 20
AUDIT_SECONDS = 300.0
STOP_SECONDS = 60.0

FIRST = """
select extract(epoch from min(a.started_at))::float8
from chimeway.delivery_attempts as a
where a.started_at >= to_timestamp($1)
"""
RECOVERED = """
select extract(epoch from max(d.finished_at))::float8
from chimeway.deliveries as d
where d.inserted_at <= to_timestamp($1)
"""
CALLS_SINCE = """
select coalesce(sum(extract(epoch from
    a.finished_at - greatest(a.started_at, to_timestamp($1)))), 0)::float8
from chimeway.delivery_attempts as a
join chimeway.deliveries as d on d.id = a.delivery_id
where d.inserted_at <= to_timestamp($1) and a.finished_at > to_timestamp($1)
  and a.outcome <> 'lost'
"""


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
        settings = dict(case.producers)
        return await asyncpg.connect(round_.cluster.dsn, timeout=5, server_settings=settings)

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
    took = 0.0
    while True:
        # A look at a million is long: what looks on must not become the load.
        await anyio.sleep(max(SNAPSHOT_SECONDS, SNAPSHOT_REST * took))
        began = time.monotonic()
        with suppress(*NOT_YET, asyncpg.PostgresError):
            async with connected(round_.cluster.dsn) as connection:
                await note_terminal(connection)
        took = time.monotonic() - began


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
    async with connected(round_.cluster.dsn, AUDIT_SECONDS) as connection:
        told, calls = read(round_.directory / "producers"), round_.ledger.count()
        found = await audit(connection, told, calls, logged, expected)
        first = await _since(connection, round_.recovery_from, FIRST)
        recovery = await _since(connection, round_.recovery_from, RECOVERED)
        piled_up = await _calls_alone(connection, round_.recovery_from)
    problems = [*round_.problems, *found.problems, *_loud(logged)]
    missed = [
        *round_.missed,
        *_too_slow("the first call began", first, case.starts_within),
        *_too_slow("recovery took", recovery, case.recovers_within, piled_up),
    ]
    return Result(case.name, seed, found, recovery, problems, missed, round_.facts, first)


def _too_slow(
    what: str, seconds: float | None, aim: float | None, piled_up: float = 0.0
) -> list[str]:
    if seconds is None or aim is None or seconds <= aim + piled_up:
        return []
    besides = f", {piled_up:.1f} s of it the calls alone" if piled_up else ""
    return [f"{what} {seconds:.1f} s{besides}, at most {aim:g} s aimed at"]


async def _calls_alone(connection: Connection, since: float | None) -> float:
    """How long one daemon needs for what piled up if it always has all its calls under way."""
    if since is None:
        return 0.0
    seconds: float = await connection.fetchval(CALLS_SINCE, since)
    return seconds / CONCURRENCY


async def _since(connection: Connection, since: float | None, sql: str) -> float | None:
    if since is None:
        return None
    last = await connection.fetchval(sql, since)
    return max(0.0, last - since) if last is not None else None


def _loud(logged: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name the events that say that the daemon itself is broken."""
    broken = {"daemon_failed", "sweep_failed", "record_failed", "adapter_misbehaved"}
    found = [line for line in logged if line.get("event") in broken]
    return [f"{line['event']}: {str(line)[-300:]}" for line in found[:2]]
