"""Holds back warnings that repeat: the first few are said, the others are counted.

    warning ─▶ fewer than BURST of its kind within PERIOD_SECONDS? ─┬─ yes ─▶ said
                                                                    └─ no ──▶ counted
                     the next of its kind after that says how many (`held_back`),
                     or a line of its own does, where none follows

A kind is an event and the channel or logger it is about. Lines that stand for a delivery are
never held back.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import NoReturn

import structlog
from structlog.typing import EventDict, WrappedLogger

BURST = 10
PERIOD_SECONDS = 10.0
MOST_KINDS = 1000

_LEVELS = frozenset({"warning", "warn", "error", "exception"})


@dataclass(slots=True)
class Kind:
    """Lines that are alike."""

    began_at: float
    said: int = 0
    held_back: int = 0


@dataclass(frozen=True, slots=True)
class HeldBack:
    """Lines that nobody has heard of yet."""

    event: str
    about: str | None
    count: int


class Repeats:
    """A processor of structlog."""

    def __init__(
        self, exempt: Collection[str] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.total = 0
        """Lines held back so far."""
        self._exempt = exempt
        self._clock = clock
        self._kinds: dict[tuple[str, str | None], Kind] = {}

    def __call__(self, _: WrappedLogger, method: str, fields: EventDict) -> EventDict:
        event = str(fields["event"])
        if method not in _LEVELS or event in self._exempt:
            return fields
        about = fields.get("channel", fields.get("logger"))
        name = (event, None if about is None else str(about))
        now = self._clock()
        kind = self._kinds.get(name)
        if kind is None or now - kind.began_at >= PERIOD_SECONDS:
            if kind is not None and kind.held_back:
                fields = {**fields, "held_back": kind.held_back}
            kind = self._begin(name, now)
        if kind.said >= BURST:
            self._hold_back(kind)
        kind.said += 1
        return fields

    def take_unsaid(self) -> list[HeldBack]:
        """Return what was held back of kinds that have fallen silent, and forget it."""
        limit = self._clock() - PERIOD_SECONDS
        over = [name for name, kind in self._kinds.items() if kind.began_at <= limit]
        ended = [(name, self._kinds.pop(name)) for name in over]
        return [HeldBack(*name, kind.held_back) for name, kind in ended if kind.held_back]

    def _begin(self, name: tuple[str, str | None], now: float) -> Kind:
        if len(self._kinds) >= MOST_KINDS:
            self._kinds.pop(next(iter(self._kinds)))
        kind = self._kinds[name] = Kind(now)
        return kind

    def _hold_back(self, kind: Kind) -> NoReturn:
        kind.held_back += 1
        self.total += 1
        raise structlog.DropEvent
