"""The types of the settings that are more than a number or a text."""

import re
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from chimewayd import http_address
from chimewayd.durations import parse


def _refuse_bool(value: object) -> object:
    if isinstance(value, bool):
        raise PydanticCustomError("bool_number", "must be a number, not true or false")
    return value


Whole = Annotated[int, BeforeValidator(_refuse_bool)]
Number = Annotated[float, BeforeValidator(_refuse_bool)]
ChannelName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_.-]{0,62}$")]


class LogLevel(StrEnum):
    """The least severe events that are logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """How events are written."""

    AUTO = "auto"
    JSON = "json"
    CONSOLE = "console"


class OnUncertain(StrEnum):
    """What becomes of a delivery whose request was handed over and never answered."""

    RETRY = "retry"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Rate:
    """So many calls in such a time."""

    calls: int
    per: timedelta

    @property
    def gap(self) -> timedelta:
        """What one call takes up of the time."""
        return self.per / self.calls


RATE_FORM = 'calls per s, min, h, d or a duration, as in "100/min" or "5/10s"; at most 10000/s'
_RATE = re.compile(r"(\d{1,7})\s*/\s*(\S.*)", re.ASCII)
_TIMES = {
    word: timedelta(seconds=seconds)
    for words, seconds in (
        ("s sec second", 1),
        ("m min minute", 60),
        ("h hour", 3600),
        ("d day", 86400),
    )
    for word in words.split()
}
_SHORTEST_GAP = timedelta(microseconds=100)
_LONGEST_TIME = timedelta(days=30)


def _read_rate(value: object) -> object:
    if isinstance(value, Rate):
        return value
    match = _RATE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise PydanticCustomError("rate", "is no rate")
    try:
        per = _TIMES.get(match[2]) or parse(match[2])
    except ValueError:
        raise PydanticCustomError(
            "rate", "is no rate: what stands behind the slash is no time"
        ) from None
    calls = int(match[1])
    if calls < 1 or not calls * _SHORTEST_GAP <= per <= _LONGEST_TIME:
        raise PydanticCustomError("rate", "is no rate from 1 call in 30d to 10000 calls in 1s")
    return Rate(calls, per)


ChannelRate = Annotated[
    Rate,
    BeforeValidator(_read_rate),
    WithJsonSchema({"type": "string", "description": RATE_FORM}),
]


def _read_address(value: object) -> object:
    if isinstance(value, http_address.HttpAddress):
        return value
    # True is an int, and no port.
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    try:
        return http_address.parse(text)
    except ValueError as error:
        raise PydanticCustomError("http_address", "{why}", {"why": str(error)}) from None


HTTP_LISTEN_FORM = "ADDRESS:PORT, PORT alone for 127.0.0.1, or unix:PATH"
HttpListen = Annotated[
    http_address.HttpAddress,
    BeforeValidator(_read_address),
    WithJsonSchema({"type": ["string", "integer"], "description": HTTP_LISTEN_FORM}),
]
