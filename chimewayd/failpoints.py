"""Fail points: places where a test makes the daemon die, raise, hang or dawdle.

    CHIMEWAYD_FAILPOINTS="after_claim=kill"
    CHIMEWAYD_FAILPOINTS="before_record=raise@2;in_call=delay:200ms"     @2: the second hit alone

They are in every daemon and do nothing, unless the variable is set and the database says that it
is there for tests:

    alter database … set chimeway.is_test = 'on'

    claim    before_claim ─▶ the database claims ─▶ after_claim ─▶ handed over
    call     before_call ─▶ the adapter begins ─▶ in_call ─▶ it returns ─▶ after_call
    record   before_record ─▶ the database records ─▶ after_record ─▶ logged, slots free
    release  before_release ─▶ the database releases ─▶ after_release ─▶ logged, slots free
    listen   LISTEN ─▶ on_listen ─▶ heard … lost ─▶ on_reconnect ─▶ LISTEN
    stop     a signal ─▶ on_drain ─▶ no more claims

Whoever has a point asks `if failpoints.armed` first: what is not armed costs a look at an empty
dict, and no call.
"""

import os
import re
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar, assert_never

import anyio

from chimewayd import durations
from chimewayd.errors import ConfigError

VARIABLE = "CHIMEWAYD_FAILPOINTS"

IS_TEST = "select pg_catalog.current_setting('chimeway.is_test', true)"
"""What the database says of itself: `on`, or it is not for tests."""

D = TypeVar("D")
T = TypeVar("T")


class Point(StrEnum):
    """A place in the daemon."""

    BEFORE_CLAIM = "before_claim"
    AFTER_CLAIM = "after_claim"
    BEFORE_CALL = "before_call"
    IN_CALL = "in_call"
    AFTER_CALL = "after_call"
    BEFORE_RECORD = "before_record"
    AFTER_RECORD = "after_record"
    BEFORE_RELEASE = "before_release"
    AFTER_RELEASE = "after_release"
    ON_LISTEN = "on_listen"
    ON_RECONNECT = "on_reconnect"
    ON_DRAIN = "on_drain"


class Action(StrEnum):
    """What happens there."""

    KILL = "kill"
    RAISE = "raise"
    HANG = "hang"
    DELAY = "delay"


class InjectedError(Exception):
    """What `raise` raises: it stands for a bug, so it is not of our own error tree."""


@dataclass(slots=True)
class Failpoint:
    """What happens at one point, and how often it was hit."""

    action: Action
    delay_seconds: float = 0.0
    only_hit: int | None = None
    """None: each hit."""
    hits: int = 0


armed: dict[Point, Failpoint] = {}
"""Empty but for tests."""

_ENTRY = re.compile(
    r"(?P<point>[^=]*)=(?P<action>[^:@]*)(?::(?P<duration>[^@]*))?(?:@(?P<hit>[1-9]\d{0,8}))?",
    re.ASCII,
)


def arm(specification: str, says_is_test: str | None) -> None:
    """Arm what the specification names; `says_is_test` is the database's answer to `IS_TEST`.

    Raises:
        ConfigError: it cannot be read, or the database is not for tests; nothing is armed.
    """
    wanted = parse(specification)
    if wanted and says_is_test != "on":
        raise ConfigError(
            VARIABLE,
            "fail points are for tests alone, and the database does not say that it is for tests",
            "without the variable; or, in a database that nobody needs: "
            "alter database … set chimeway.is_test = 'on'",
        )
    armed.clear()
    armed.update(wanted)


def parse(specification: str) -> dict[Point, Failpoint]:
    """Read a specification.

    Raises:
        ConfigError: with the point or the action that is not known, and those that are.
    """
    found: dict[Point, Failpoint] = {}
    for entry in filter(None, map(str.strip, specification.split(";"))):
        match = _ENTRY.fullmatch(entry)
        if match is None:
            raise ConfigError(
                VARIABLE,
                f"{entry!r} is no fail point",
                "point=action, with :duration after delay and @k for the k-th hit alone, "
                "as in before_record=delay:200ms@2; several are separated by ;",
            )
        point = _read_point(match["point"].strip())
        if point in found:
            raise ConfigError(VARIABLE, f"{point} is given twice", "each point once")
        action = _read_action(match["action"].strip())
        seconds = _read_delay(point, action, match["duration"])
        found[point] = Failpoint(action, seconds, int(match["hit"]) if match["hit"] else None)
    return found


def _read_point(name: str) -> Point:
    try:
        return Point(name)
    except ValueError:
        raise ConfigError(VARIABLE, f"no point is called {name!r}", ", ".join(Point)) from None


def _read_action(name: str) -> Action:
    try:
        return Action(name)
    except ValueError:
        raise ConfigError(VARIABLE, f"no action is called {name!r}", ", ".join(Action)) from None


def _read_delay(point: Point, action: Action, duration: str | None) -> float:
    if action is not Action.DELAY:
        if duration is not None:
            raise ConfigError(VARIABLE, f"{point}: {action} takes no duration", f"{point}={action}")
        return 0.0
    if duration is None:
        raise ConfigError(VARIABLE, f"{point}: delay has no duration", f"{point}=delay:200ms")
    try:
        return durations.parse(duration).total_seconds()
    except ValueError as error:
        problem = f"{point}: the duration of delay {error}"
        raise ConfigError(VARIABLE, problem, f"{point}=delay:200ms") from None


async def reach(point: Point) -> None:
    """Do what is armed for this point.

    `hang` waits for its cancellation, and so for ever where that is shielded off.

    Raises:
        InjectedError: that is what is armed.
    """
    failpoint = armed.get(point)
    if failpoint is None:
        return
    failpoint.hits += 1
    if failpoint.only_hit not in (None, failpoint.hits):
        return
    # Not an event: no real daemon ever says it, and it must be out before a kill.
    os.write(2, f"failpoint {point}: {failpoint.action}\n".encode())
    match failpoint.action:
        case Action.KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        case Action.RAISE:
            raise InjectedError(f"fail point {point}")
        case Action.HANG:
            await anyio.sleep_forever()
        case Action.DELAY:
            await anyio.sleep(failpoint.delay_seconds)
        case _:
            assert_never(failpoint.action)


async def around_call(call: Callable[[D], Awaitable[T]], delivery: D) -> T:
    """Make an adapter's call with the three points of calls around it and in it."""
    await reach(Point.BEFORE_CALL)
    async with anyio.create_task_group() as both:
        # Its turn comes when the call waits for the first time: it is under way then.
        both.start_soon(reach, Point.IN_CALL)
        returned = await call(delivery)
    await reach(Point.AFTER_CALL)
    return returned
