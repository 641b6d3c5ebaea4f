"""Durations as people write them: a number and its unit, largest unit first (`1h30m`, `250ms`)."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

UNITS = "ms, s, m, h, d"

_NUMBER = r"(\d{1,7}(?:\.\d{1,6})?)"
_PARTS = re.compile(
    rf"(?=\d)(?:{_NUMBER}d)?\s*(?:{_NUMBER}h)?\s*(?:{_NUMBER}m)?\s*(?:{_NUMBER}s)?\s*(?:{_NUMBER}ms)?",
    re.ASCII,
)
JSON_PATTERN = rf"^\s*{_PARTS.pattern}\s*$"
"""For a JSON Schema: what `parse` reads."""

_BARE_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?", re.ASCII)
_STEPS = (
    ("d", timedelta(days=1)),
    ("h", timedelta(hours=1)),
    ("m", timedelta(minutes=1)),
    ("s", timedelta(seconds=1)),
    ("ms", timedelta(milliseconds=1)),
)


def parse(text: str) -> timedelta:
    """Read a duration.

    Raises:
        ValueError: With what is wrong, never with the text itself.
    """
    text = text.strip()
    if _BARE_NUMBER.fullmatch(text):
        raise ValueError(f"has no unit; write one after the number: {UNITS}")
    if text.startswith("-"):
        raise ValueError("must not be negative")
    match = _PARTS.fullmatch(text)
    if match is None:
        raise ValueError(
            f"must be numbers with units ({UNITS}), largest first, as in 250ms, 30s, 1h30m"
        )
    parts = zip(match.groups(), _STEPS, strict=True)
    return sum((float(number) * step for number, (_, step) in parts if number), timedelta())


def render(duration: timedelta) -> str:
    """Write a duration so that `parse` reads it back, to the millisecond."""
    rest, words = duration, []
    for unit, step in _STEPS:
        count, rest = divmod(rest, step)
        if count:
            words.append(f"{count}{unit}")
    return "".join(words) or "0s"


def _coerce(value: object) -> timedelta:
    match value:
        case timedelta():
            return value
        case str():
            try:
                return parse(value)
            except ValueError as error:
                raise PydanticCustomError(
                    "duration", "{problem}", {"problem": str(error)}
                ) from None
        case int() | float():
            problem = f'has no unit; write it as a text with one of {UNITS}, as in "30s"'
        case _:
            problem = "must be a text with a unit, as in 30s"
    raise PydanticCustomError("duration", "{problem}", {"problem": problem})


Duration = Annotated[timedelta, BeforeValidator(_coerce)]
