"""SIGTERM under full load: nothing is lost, nothing is repeated that could end by itself."""

import time
from signal import SIGINT, SIGTERM

from faults.load import Stream
from faults.round import CHANNELS, CONCURRENCY, HOOKS, Case, Round

GRACE_SECONDS = 2
FLUSH_SECONDS = 5
EXIT_SECONDS = 10
STOPS, STOPS_LONG = 10, 200
HANGING = {"hanging": {**HOOKS, "timeout": "3s"}}


async def stop_with_slow_calls(round_: Round) -> None:
    """Calls end within the grace: not one is repeated."""
    daemon = await round_.daemon()
    for _ in range(3):
        await round_.moment()
        exit_status = await daemon.stop(GRACE_SECONDS + FLUSH_SECONDS + EXIT_SECONDS)
        round_.expect(exit_status == 0, f"exit status {exit_status}")
        await daemon.start()
    round_.recovers_from_now()


async def stop_with_hanging_calls(round_: Round) -> None:
    """Calls that hang are cut at the end of the grace, recorded as uncertain, and repeated."""
    hanging = Stream("hanging", f"{round_.ledger.url}/hang?times=1", 2)
    round_.streams = [*round_.streams, hanging]
    daemon = await round_.daemon(
        channels={**CHANNELS, **HANGING},
        concurrency=2 * CONCURRENCY,
        shutdown_grace=f"{GRACE_SECONDS}s",
    )
    for _ in range(2):
        await round_.moment()
        exit_status = await daemon.stop(GRACE_SECONDS + FLUSH_SECONDS + EXIT_SECONDS)
        round_.expect(exit_status == 0, f"exit status {exit_status}")
        await daemon.start()
    round_.recovers_from_now()
    round_.may_repeat(100_000)  # each of them hangs once


async def stop_often(round_: Round) -> None:
    """At random moments, from the first second of its life on."""
    daemon = await round_.daemon(shutdown_grace=f"{GRACE_SECONDS}s")
    longest = 0.0
    for _ in range(STOPS_LONG if round_.is_long else STOPS):
        await round_.moment(0.0, 0.8)
        began = time.monotonic()
        exit_status = await daemon.stop(GRACE_SECONDS + FLUSH_SECONDS + EXIT_SECONDS)
        longest = max(longest, time.monotonic() - began)
        round_.expect(exit_status == 0, f"exit status {exit_status}")
        await daemon.start()
    round_.facts["longest stop, s"] = longest
    round_.facts["stops"] = STOPS_LONG if round_.is_long else STOPS
    if longest > GRACE_SECONDS + 1:
        round_.missed.append(f"a stop took {longest:.1f} s, the grace is {GRACE_SECONDS} s")
    round_.recovers_from_now()


async def stop_twice(round_: Round) -> None:
    """The second signal ends everything at once; leases run out by themselves."""
    daemon = await round_.daemon(lease="8s")
    await round_.moment()
    daemon.signal(SIGTERM)
    await round_.moment(0.0, 0.1)
    if daemon.is_running:
        daemon.signal(SIGINT)
        await daemon.ended(EXIT_SECONDS)
    round_.may_repeat()
    await daemon.start()
    round_.recovers_from_now()
    await round_.moment()


CASES = (
    Case(
        "term-slow",
        "SIGTERM three times, calls slow",
        stop_with_slow_calls,
        paths=("slow?ms=300",),
        rate=50,
    ),
    Case(
        "term-hanging",
        f"SIGTERM twice, calls hang, grace {GRACE_SECONDS}s",
        stop_with_hanging_calls,
        recovers_within=None,
        rate=60,
    ),
    Case(
        "term-often",
        f"SIGTERM at {STOPS} random moments (long: {STOPS_LONG})",
        stop_often,
        rounds=1,
        long_rounds=1,
        deadline_seconds=900,
        rate=60,
    ),
    Case(
        "term-twice", "SIGTERM and SIGINT", stop_twice, paths=("slow?ms=300",), recovers_within=15
    ),
)
