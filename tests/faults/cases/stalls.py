"""The daemon stands still for longer than its lease, and goes on; another one runs meanwhile."""

from signal import SIGCONT, SIGSTOP

from faults.round import Case, Round

LEASE_SECONDS = 8
SWEEP_SECONDS = 5


async def stop_and_continue(round_: Round) -> None:
    """It goes on while its successor is in the middle of the repeated calls."""
    first = await round_.daemon("d1", lease=f"{LEASE_SECONDS}s")
    second = await round_.daemon("d2", lease=f"{LEASE_SECONDS}s")
    await round_.moment()
    first.signal(SIGSTOP)
    round_.may_repeat()
    round_.recovers_from_now()
    await second.says("leases_rescued")
    await round_.moment(0.2, 0.8)
    first.signal(SIGCONT)
    await round_.moment(2, 3)
    stale = [line for line in first.lines() if line["event"] == "outcome_stale"]
    round_.facts["stale outcomes"] = len(stale)


async def stop_for_less_than_the_lease(round_: Round) -> None:
    daemon = await round_.daemon()
    await round_.moment()
    daemon.signal(SIGSTOP)
    await round_.moment(2, 4)
    daemon.signal(SIGCONT)
    round_.recovers_from_now()
    # Its calls were in flight all the time, and their deadline passed while nobody looked.
    round_.may_repeat()
    await round_.moment()


CASES = (
    Case(
        "stop-cont",
        f"SIGSTOP beyond the lease of {LEASE_SECONDS}s, SIGCONT; a second daemon runs",
        stop_and_continue,
        paths=("ok", "slow?ms=800"),
        rate=60,
        recovers_within=LEASE_SECONDS + SWEEP_SECONDS + 3,
    ),
    Case("stop-cont-short", "SIGSTOP for less than the lease", stop_for_less_than_the_lease),
)
