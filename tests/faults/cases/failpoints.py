"""Fail points: the daemon dies, raises, hangs or dawdles at a place of its code, not of time.

    armed daemon ─▶ the point is reached ─▶ dead, or ended by its supervisor ─▶ a daemon without
                                        └─▶ goes on ────────────────────────▶ all terminal, audit

A case is a point; its rounds are the actions by the adapters, each round in a cluster of its own.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import partial
from itertools import product
from signal import SIGINT, SIGKILL, SIGTERM
from typing import Any, NamedTuple, assert_never

import anyio

from chimewayd.failpoints import VARIABLE, Action, Point
from faults.cases.sessions import TERMINATE
from faults.cluster import connected
from faults.daemon_process import Daemon
from faults.load import Stream
from faults.processes import LOOK_SECONDS
from faults.round import CHANNELS, RETRY, Case, Channels, Round

LEASE = "8s"
GRACE_SECONDS = 1
REACHED_SECONDS = 20.0
STOP_SECONDS = 12.0
"""The grace, the flush, and a slow machine."""
CONCURRENCY = 50
IN_HAND = 3 * CONCURRENCY
"""Deliveries that may be called, or called and not recorded, when a daemon dies."""
FEW = 4
"""Calls at a time, so that some of what is claimed waits and is given back at a stop."""

CALLS = frozenset({Point.BEFORE_CALL, Point.IN_CALL, Point.AFTER_CALL})
RELEASES = frozenset({Point.BEFORE_RELEASE, Point.AFTER_RELEASE})
STOPPING = RELEASES | {Point.ON_DRAIN}
ONCE_A_RUN = STOPPING | {Point.ON_LISTEN, Point.ON_RECONNECT}

COMMAND = r"""
read -r line
id=${line#*\"delivery_id\":\"}
echo "0 ${id%%\"*} exec" >> "$1"
[ "$2" = 0 ] || sleep "$2"
"""
"""Writes the delivery into the ledger; its arguments are the file, and seconds to take."""

OTHERS: Mapping[str, Any] = {"timeout": "3s", "concurrency": CONCURRENCY, "retry": RETRY}


class Kind(StrEnum):
    """An adapter of the matrix."""

    WEBHOOK = "webhook"
    EXEC = "exec"
    SINK = "sink"


class End(StrEnum):
    """How the armed daemon's process ends, or whether."""

    KILLED = "killed"
    """By itself, at the point."""
    FAILED = "failed"
    """Exit status 1: a stage raised."""
    STOPPED = "stopped"
    """Exit status 0, at SIGTERM."""
    STOPPED_AT_ONCE = "stopped_at_once"
    """Exit status 0, at the second signal."""
    STUCK = "stuck"
    """No signal but SIGKILL is heard: it hangs where it must not be cancelled."""
    GOES_ON = "goes_on"


class Cell(NamedTuple):
    """What a round is about, beside its point."""

    action: Action
    kind: Kind


HANGS = {Point.ON_DRAIN: End.STOPPED_AT_ONCE, Point.AFTER_CLAIM: End.STUCK}
"""Where something else than SIGTERM ends what hangs; a call that hangs is cut at its deadline."""

CELLS = tuple(Cell(action, kind) for action, kind in product(Action, Kind))


class Armed(Daemon):
    """What it says of an error that we raised is no finding."""

    def lines(self) -> list[dict[str, Any]]:
        return [line for line in super().lines() if "InjectedError" not in str(line)]


def end_of(point: Point, action: Action) -> End:
    """Say how a daemon must end; the supervisor's SIGTERM comes where it would go on hanging."""
    match action:
        case Action.KILL:
            return End.KILLED
        case Action.RAISE:
            return End.GOES_ON if point in CALLS else End.FAILED
        case Action.DELAY:
            return End.STOPPED if point in STOPPING else End.GOES_ON
        case Action.HANG:
            return End.GOES_ON if point in CALLS else HANGS.get(point, End.STOPPED)
        case _:
            assert_never(action)


async def reach(round_: Round, point: Point) -> None:
    """Run one cell: the one of this round's number."""
    number = int(round_.directory.name.rpartition("-")[2])
    cell = CELLS[number % len(CELLS)]
    is_slow = point in RELEASES
    round_.streams = _streams(round_, cell.kind, is_slow)
    round_.facts[f"{cell.action}, {cell.kind}"] = number
    if cell.action is not Action.DELAY:
        round_.may_repeat(IN_HAND)
    if cell.action is Action.RAISE and point in CALLS:
        # An adapter that raises is asked again, whatever the channel says of doubts: the
        # contract's section 5 counts an exception as temporary.
        round_.once = frozenset()
    async with connected(round_.cluster.dsn) as connection:
        await connection.execute("alter database chimeway set chimeway.is_test = 'on'")
    channels = _channels(round_, is_slow=is_slow)
    daemon = await _start(round_, point, cell.action, channels)
    await _cause(round_, daemon, point)
    await _says(daemon, f"failpoint {point}: {cell.action}")
    await round_.moment(0.1, 0.5)
    end = end_of(point, cell.action)
    await _end(round_, daemon, point, end)
    if end is not End.GOES_ON:
        await round_.daemon("d1", channels=channels, lease=LEASE)
    round_.recovers_from_now()
    await round_.moment(0.5, 1.0)
    is_right = daemon.is_running == (end is End.GOES_ON)
    round_.expect(is_right, f"{point}={cell.action}, {cell.kind}: it is not so that it {end}")


async def _start(round_: Round, point: Point, action: Action, channels: Channels) -> Daemon:
    what = f"{action}:200ms" if action is Action.DELAY else action
    hit = 1 if point in ONCE_A_RUN else round_.random.randint(1, 20 if point in CALLS else 3)
    daemon = Armed(
        "armed",
        round_.directory,
        round_.cluster.dsn,
        channels,
        {
            "name": "d1",
            "lease": LEASE,
            "shutdown_grace": f"{GRACE_SECONDS}s",
            "concurrency": FEW if point in RELEASES else CONCURRENCY,
        },
        {VARIABLE: f"{point}={what}" if action is Action.DELAY else f"{point}={what}@{hit}"},
    )
    round_.daemons[daemon.name] = daemon
    await daemon.start(wait=False)
    return daemon


def _streams(round_: Round, kind: Kind, is_slow: bool) -> Sequence[Stream]:
    path = "slow?ms=300" if is_slow else "ok"
    match kind:
        case Kind.WEBHOOK:
            url = f"{round_.ledger.url}/{path}"
            return [Stream("hooks", url, 9), Stream("once", url)]
        case Kind.EXEC | Kind.SINK:
            return [Stream(kind, f"{round_.ledger.url}/{kind}")]
        case _:
            assert_never(kind)


def _channels(round_: Round, *, is_slow: bool) -> Channels:
    seconds = "0.3" if is_slow else "0"
    words = ["/bin/sh", "-c", COMMAND, "sh", f"{round_.ledger.file}", seconds]
    others: Mapping[Kind, Mapping[str, Any]] = {
        Kind.EXEC: {"command": words},
        Kind.SINK: {"delay": f"{seconds}s"},
    }
    return dict(CHANNELS) | {
        kind: {**OTHERS, "adapter": kind, "settings": settings} for kind, settings in others.items()
    }


async def _cause(round_: Round, daemon: Daemon, point: Point) -> None:
    """Do what leads to the point, where the load alone does not."""
    if point not in ONCE_A_RUN or point is Point.ON_LISTEN:
        return
    await daemon.says("daemon_ready")
    await round_.moment(0.5, 1.0)
    if point is Point.ON_RECONNECT:
        async with connected(round_.cluster.dsn) as connection:
            await connection.fetchval(TERMINATE, "listener")
    else:
        daemon.signal(SIGTERM)


async def _says(daemon: Daemon, text: str) -> None:
    with anyio.fail_after(REACHED_SECONDS):
        while True:
            has_ended = not daemon.is_running
            if text in daemon.log.read_text(errors="replace"):
                return
            if has_ended:
                raise RuntimeError(f"it ended before {text}:\n{daemon.tail()}")
            await anyio.sleep(LOOK_SECONDS)


async def _end(round_: Round, daemon: Daemon, point: Point, end: End) -> None:
    """Be the supervisor: stop what hangs, and look how it ends."""
    match end:
        case End.KILLED:
            wanted = -SIGKILL
        case End.FAILED:
            wanted = 1
        case End.STOPPED:
            wanted = 0
            if point not in STOPPING:
                daemon.signal(SIGTERM)
        case End.STOPPED_AT_ONCE:
            wanted = 0
            daemon.signal(SIGINT)
        case End.STUCK:
            wanted = -SIGKILL
            for number in (SIGTERM, SIGINT):
                daemon.signal(number)
                await round_.moment(0.5, 1.0)
            daemon.kill()
        case End.GOES_ON:
            return
        case _:
            assert_never(end)
    status = await daemon.ended(STOP_SECONDS)
    round_.expect(status == wanted, f"it {end} with status {status}, not {wanted}")


def _case(point: Point) -> Case:
    return Case(
        f"failpoint-{point}",
        f"{', '.join(Action)} at the fail point {point}, each with {', '.join(Kind)}",
        partial(reach, point=point),
        rounds=len(CELLS),
        long_rounds=3 * len(CELLS),
        rate=40,
        recovers_within=15,
    )


CASES = tuple(map(_case, Point))
