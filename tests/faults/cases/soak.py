"""Ten minutes of deliveries and faults; the process that goes through them must not grow."""

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from signal import SIGQUIT
from statistics import linear_regression, median
from typing import NamedTuple
from urllib.parse import urlsplit

import anyio

from faults.cases.sessions import ROLES, TERMINATE
from faults.cluster import connected
from faults.daemon_process import Daemon
from faults.round import Case, Round

SOAK_SECONDS, SOAK_SECONDS_SHORT = 1200.0, 60.0
"""The first half is long: each new high-water mark of open connections is memory that is kept."""
SAMPLE_SECONDS = 2.0
GROWTH_MIB_PER_10_MINUTES = 1.0
RESIDENT_MIB = 120.0
CONCURRENCY = 200
SPARE_DESCRIPTORS = 2
"""Sessions that are being opened or cut."""
MOST_DESCRIPTORS = 50
"""The sessions, and what a process has open anyway."""


class Sample(NamedTuple):
    """What the process held at a moment."""

    at: float
    resident_mib: float
    calls: int
    """Connections to the receiver."""
    descriptors: int
    """Whatever else it has open."""


async def soak(round_: Round) -> None:
    """End sessions, restart the server, refuse calls; look at the process all the time."""
    seconds = SOAK_SECONDS if round_.is_long else SOAK_SECONDS_SHORT
    daemon = await round_.daemon(concurrency=CONCURRENCY)
    round_.may_repeat(1_000_000)  # a quarter is refused once
    samples: list[Sample] = []
    async with anyio.create_task_group() as group:
        group.start_soon(_sample, daemon, urlsplit(round_.ledger.url).port or 0, samples)
        with anyio.move_on_after(seconds):
            while True:
                await _break_something(round_)
        group.cancel_scope.cancel()
    # Whoever is cancelled in the middle of a restart leaves no server.
    if not await round_.cluster.answers():
        await round_.cluster.start()
    round_.recovers_from_now()
    _judge(round_, samples)
    await round_.moment()


async def _break_something(round_: Round) -> None:
    await round_.moment(3, 9)
    what = round_.random.choice([*ROLES, "%", "server"])
    round_.facts["faults"] = round_.facts.get("faults", 0) + 1
    if what == "server":
        with anyio.CancelScope(shield=True):
            await round_.cluster.stop(SIGQUIT)
            await round_.cluster.start()
    else:
        async with connected(round_.cluster.dsn) as connection:
            await connection.fetchval(TERMINATE, what)


async def _sample(daemon: Daemon, port: int, samples: list[Sample]) -> None:
    process = Path(f"/proc/{daemon.pid}")
    while True:
        await anyio.sleep(SAMPLE_SECONDS)
        status = (process / "status").read_text()
        kibibytes = int(status.partition("VmRSS:")[2].split()[0])
        opened = _opened(process)
        calls = len(opened & _connected_to(process, port))
        samples.append(Sample(time.monotonic(), kibibytes / 1024, calls, len(opened) - calls))


def _opened(process: Path) -> set[str]:
    """Return what each descriptor is, with its number where that is all that tells it."""
    opened = set()
    for descriptor in (process / "fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            what = str(descriptor.readlink())
            opened.add(what if what.startswith("socket:") else f"{descriptor.name} {what}")
    return opened


def _connected_to(process: Path, port: int) -> set[str]:
    """Return the TCP sockets with this port at their other end."""
    lines = [line.split() for line in (process / "net" / "tcp").read_text().splitlines()[1:]]
    return {f"socket:[{line[9]}]" for line in lines if int(line[2].partition(":")[2], 16) == port}


def _judge(round_: Round, samples: Sequence[Sample]) -> None:
    """Judge the second half: an allocator settles late."""
    first, second = samples[: len(samples) // 2], samples[len(samples) // 2 :]
    slope, _ = linear_regression([one.at for one in second], [one.resident_mib for one in second])
    resident = max(one.resident_mib for one in samples)
    # Connections to the receiver come and go with the calls; none is ever beyond one for each.
    calls = max(one.calls for one in samples)
    most = max(one.descriptors for one in samples)
    more = median(one.descriptors for one in second) - median(one.descriptors for one in first)
    round_.facts |= {
        "growth in the second half, MiB in 10 minutes": slope * 600,
        "largest resident set, MiB": resident,
        "most connections to the receiver": calls,
        "most other descriptors": most,
        "more descriptors in the second half": more,
    }
    if round_.is_long and slope * 600 > GROWTH_MIB_PER_10_MINUTES:
        round_.missed.append(f"it grew by {slope * 600:.1f} MiB in 10 minutes")
    round_.expect(resident <= RESIDENT_MIB, f"it held {resident:.0f} MiB")
    round_.expect(calls <= CONCURRENCY, f"it had {calls} connections to the receiver")
    round_.expect(most <= MOST_DESCRIPTORS, f"it had {most} descriptors open")
    round_.expect(more <= SPARE_DESCRIPTORS, f"{more} more descriptors in the second half")


CASES = (
    Case(
        "soak",
        f"{SOAK_SECONDS:g} s of deliveries, ended sessions and restarted servers; flat memory",
        soak,
        rounds=1,
        long_rounds=1,
        deadline_seconds=SOAK_SECONDS + 300,
        recovers_within=10,
        paths=("ok", "ok", "ok", "busy?times=1"),
        rate=500,
        only_long=True,
    ),
)
