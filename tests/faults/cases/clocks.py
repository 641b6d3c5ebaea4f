"""The daemon's clock jumps by an hour, forth and back; the database's does not."""

from pathlib import Path

from faults.round import Case, Round

LIBRARIES = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/local/lib/faketime/libfaketimeMT.so.1")


def missing() -> str | None:
    return None if _library() else "libfaketime is not installed"


def _library() -> Path | None:
    found = [path for pattern in LIBRARIES for path in Path("/").glob(pattern.lstrip("/"))]
    return next(iter(found), None)


async def jump(round_: Round) -> None:
    """An hour forth, two hours back, and home; only the wall clock moves."""
    clock = round_.directory / "clock"
    clock.write_text("+0")
    environment = {
        "LD_PRELOAD": f"{_library()}",
        "FAKETIME_TIMESTAMP_FILE": f"{clock}",
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    await round_.daemon(environment=environment)
    for offset in ("+1h", "-1h", "+0"):
        await round_.moment(1, 2)
        clock.write_text(offset)
        round_.recovers_from_now()
    await round_.moment()


CASES = (Case("clock", "the daemon's clock one hour forth and back", jump, missing=missing),)
