"""The daemon is killed: in the middle of claim, call and record, for the load never pauses."""

import time
from pathlib import Path

import anyio

from faults.cluster import connected
from faults.load import Stream, fill
from faults.round import CHANNELS, HOOKS, OPEN, Case, Round

KILLS, KILLS_LONG = 6, 60
MILLION, MANY = 1_000_000, 20_000
MILLION_CONCURRENCY = 200
WIDE_HOOKS = {**HOOKS, "concurrency": MILLION_CONCURRENCY, "timeout": "3s"}
BACKLOG = 4000
REPEAT_SECONDS = 5
LOOK_SECONDS = 0.1
LONGEST_REPEAT = """
select max(extract(epoch from a.started_at) - $1)::float8
from chimeway.delivery_attempts as a
where a.attempt_number = 2
"""
LAST_FIRST_CALL = """
select max(extract(epoch from a.started_at) - $1)::float8
from chimeway.delivery_attempts as a
where a.attempt_number = 1
"""
SHORT_LEASE = "8s"
MILLION_LEASE = "10s"


async def kill_and_restart(round_: Round) -> None:
    daemon = await round_.daemon()
    await round_.moment()
    daemon.kill()
    round_.may_repeat()
    await round_.moment(0.0, 0.5)
    await daemon.start()
    round_.recovers_from_now()
    await round_.moment()


async def kill_once(round_: Round) -> None:
    daemon = await round_.daemon(lease=SHORT_LEASE)
    await round_.moment()
    daemon.kill()
    round_.may_repeat()
    await daemon.start()
    round_.recovers_from_now()
    await round_.moment()


async def kill_with_a_second_daemon(round_: Round) -> None:
    first = await round_.daemon("d1")
    await round_.daemon("d2")
    await round_.moment()
    first.kill()
    round_.may_repeat()
    round_.recovers_from_now()
    await round_.moment()


async def kill_every_second(round_: Round) -> None:
    daemon = await round_.daemon(lease=SHORT_LEASE)
    for _ in range(KILLS_LONG if round_.is_long else KILLS):
        await round_.moment(0.1, 1.5)
        daemon.kill()
        round_.may_repeat()
        await daemon.start(wait=False)
    await daemon.says("daemon_ready", daemon.log.stat().st_size - 1)
    round_.recovers_from_now()


async def kill_at_start(round_: Round) -> None:
    """Kill it before it is ready, again and again: connecting, registering, the first look."""
    daemon = await round_.daemon(lease=SHORT_LEASE)
    for _ in range(2 * KILLS):
        daemon.kill()
        round_.may_repeat()
        await daemon.start(wait=False)
        await round_.moment(0.2, 0.9)
    daemon.kill()
    round_.may_repeat()
    await daemon.start()
    round_.recovers_from_now()
    await round_.moment()


async def kill_before_a_backlog(round_: Round) -> None:
    """What was lost is tried again within seconds, and not only after all that is fresh."""
    await round_.daemon()
    behind = Stream("hooks", f"{round_.ledger.url}/slow?ms=200")
    async with connected(round_.cluster.dsn) as connection:
        await fill(connection, behind, BACKLOG, round_.directory / "producers")
    await round_.moment()
    round_.daemons["d1"].kill()
    round_.may_repeat()
    await round_.daemons["d1"].start()
    restarted_at = time.time()
    await _until_drained_to(round_, BACKLOG // 10)
    async with connected(round_.cluster.dsn) as connection:
        waited = await connection.fetchval(LONGEST_REPEAT, restarted_at)
        backlog_ended = await connection.fetchval(LAST_FIRST_CALL, restarted_at)
    round_.facts["longest wait of a lost delivery for its repeat, s"] = waited or 0.0
    round_.facts["the backlog's own length, s"] = backlog_ended
    if waited is None or waited > REPEAT_SECONDS:
        shown = "never" if waited is None else f"{waited:.1f} s"
        round_.missed.append(
            f"repeats of lost deliveries waited {shown} behind a backlog of {backlog_ended:.0f} s"
        )


async def _until_drained_to(round_: Round, count: int) -> None:
    while await _count_open(round_) > count:  # noqa: ASYNC110 - rows are no event
        await anyio.sleep(LOOK_SECONDS)


async def kill_until_all_of_a_million_ended(round_: Round) -> None:
    daemon = await round_.daemon(
        concurrency=MILLION_CONCURRENCY,
        channels={**CHANNELS, "hooks": WIDE_HOOKS},
        lease=MILLION_LEASE,
    )
    file = round_.directory / "producers"
    async with anyio.create_task_group() as group:
        filled = anyio.Event()
        group.start_soon(_fill, round_, file, filled)
        while not filled.is_set() or await _count_open(round_) > MILLION_CONCURRENCY:
            await round_.moment(2, 6)
            daemon.kill()
            round_.may_repeat(2 * MILLION_CONCURRENCY)
            await daemon.start(wait=False)
    round_.recovers_from_now()


async def _fill(round_: Round, file: Path, filled: anyio.Event) -> None:
    count = MILLION if round_.is_long else MANY
    round_.facts["deliveries"] = count
    async with connected(round_.cluster.dsn) as connection:
        await fill(connection, round_.streams[0], count, file)
    filled.set()


async def _count_open(round_: Round) -> int:
    async with connected(round_.cluster.dsn) as connection:
        count: int = await connection.fetchval(OPEN)
    return count


CASES = (
    Case(
        "kill-once", f"kill -9, started again, lease {SHORT_LEASE}", kill_once, recovers_within=15
    ),
    Case("kill-restart", "kill -9, started again on the same host", kill_and_restart),
    Case(
        "kill-takeover",
        "kill -9, not started again; a second daemon runs",
        kill_with_a_second_daemon,
        recovers_within=30,
    ),
    Case(
        "kill-each-second",
        f"kill -9 again and again, lease {SHORT_LEASE}",
        kill_every_second,
        deadline_seconds=300,
        recovers_within=15,
    ),
    Case(
        "kill-slow-calls",
        f"kill -9 again and again while every call is slow, lease {SHORT_LEASE}",
        kill_every_second,
        deadline_seconds=400,
        # What was lost twice is tried one at a time, and after sixty kills that is much.
        drain_seconds=200,
        paths=("slow?ms=300", "slow?ms=800"),
        rate=60,
        recovers_within=15,
    ),
    Case(
        "kill-at-start",
        f"kill -9 before it is ready, lease {SHORT_LEASE}",
        kill_at_start,
        rounds=1,
        recovers_within=15,
    ),
    Case(
        "kill-backlog",
        f"kill -9 with {BACKLOG} deliveries waiting",
        kill_before_a_backlog,
        rounds=1,
        rate=20,
    ),
    Case(
        "million",
        f"kill -9 every few seconds until {MANY} (long: a million) have ended",
        kill_until_all_of_a_million_ended,
        rounds=1,
        long_rounds=1,
        deadline_seconds=3600,
        drain_seconds=120,
        recovers_within=20,
        paths=("ok",),
        rate=50,
    ),
)
