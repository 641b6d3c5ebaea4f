"""A clock jumps: the daemon's alone, or the database's alone."""

from collections.abc import Mapping
from pathlib import Path
from signal import SIGINT

from faults.round import Case, Round

LIBRARIES = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/local/lib/faketime/libfaketimeMT.so.1")
OFFSETS = ("+1h", "-1h", "+2h", "-2h", "+1d", "-1d", "+13y")
JUMPS = 3


def missing() -> str | None:
    return None if _library() else "libfaketime is not installed"


def _library() -> Path | None:
    found = [path for pattern in LIBRARIES for path in Path("/").glob(pattern.lstrip("/"))]
    return next(iter(found), None)


async def jump_of_daemon(round_: Round) -> None:
    """Only the wall clock moves; nothing may depend on it."""
    clock = round_.directory / "clock"
    clock.write_text("+0")
    await round_.daemon(environment=_faked(clock))
    for offset in (*round_.random.sample(OFFSETS, JUMPS), "+0"):
        await round_.moment(1, 2)
        clock.write_text(offset)
        round_.recovers_from_now()
    await round_.moment()


async def jump_of_database(round_: Round) -> None:
    """Leases seem to have ended, or to begin later; what waits must not wait for the clock."""
    clock = round_.cluster.directory / "clock"
    clock.write_text("+0")
    clock.chmod(0o644)
    await round_.cluster.stop(SIGINT)
    round_.cluster.environment |= _faked(clock)
    await round_.cluster.start()
    await round_.daemon(lease="8s")
    for offset in round_.random.sample(OFFSETS, JUMPS):
        for now in (offset, "+0"):
            await round_.moment(2, 3)
            clock.write_text(now)
            round_.may_repeat()
    await round_.moment()


def _faked(clock: Path) -> Mapping[str, str]:
    return {
        "LD_PRELOAD": f"{_library()}",
        "FAKETIME_TIMESTAMP_FILE": f"{clock}",
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


CASES = (
    Case(
        "clock",
        "the daemon's clock jumps by hours, a day, past 2038, and home",
        jump_of_daemon,
        missing=missing,
    ),
    Case(
        "clock-server",
        "the database's clock jumps by hours, a day, past 2038, and home",
        jump_of_database,
        recovers_within=None,
        missing=missing,
    ),
)
