"""What an examination finds."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

SHOWN = 5


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    """Works, but somebody should look."""
    FAULT = "fault"
    UNKNOWN = "unknown"
    """Could not be found out."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, and what to do about it."""

    check: str
    level: Level
    what: str
    remedy: str | None = None


def ok(check: str, what: str) -> Finding:
    return Finding(check, Level.OK, what)


def warning(check: str, what: str, remedy: str) -> Finding:
    return Finding(check, Level.WARNING, what, remedy)


def fault(check: str, what: str, remedy: str) -> Finding:
    return Finding(check, Level.FAULT, what, remedy)


def unknown(check: str, what: str, remedy: str | None = None) -> Finding:
    return Finding(check, Level.UNKNOWN, what, remedy)


def some(names: Sequence[str]) -> str:
    """Name the first few."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
