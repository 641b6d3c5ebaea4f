"""The one protocol between the daemon and a provider.

An adapter is made once per channel, from that channel's settings and deadline, inside the
running event loop; it is entered before the first delivery and left after the last:

    Adapter(settings, timeout) ── async with ──▶ deliver(delivery) · deliver(delivery) · …

What each adapter promises (chimewayd/testing/promises.py holds each to it):

* `deliver` makes at most one call to its provider and returns an `Outcome`; it raises nothing.
* It answers within `timeout`, and says in `TimedOut.request_sent` whether the request had
  left: nobody else can know.
* Cancelled, it leaves nothing behind: no socket, no process, no task, no thread.
* What it puts into an outcome is bounded and holds no secret; nor does what it logs.
* A repeat of a delivery carries the same idempotency key: the delivery's id.

It knows its protocol and nothing of the queue: no database, no retry, no status.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from types import TracebackType
from typing import ClassVar, NamedTuple, Protocol, Self, get_origin, runtime_checkable

import orjson
from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.fields import FieldInfo

from chimewayd.models import Delivery, Outcome


class AdapterSettings(BaseModel):
    """Base of each adapter's own settings: unknown names are refused, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _read_json(cls, values: object) -> object:
        """Read lists and tables that an environment variable gave as JSON text."""
        if not isinstance(values, dict):
            return values
        return {name: _read(cls.model_fields.get(name), value) for name, value in values.items()}

    def dangers(self) -> Iterable[tuple[str, str]]:
        """Name settings that are allowed and unsafe, each with what can happen; for the log."""
        return ()


def _read(field: FieldInfo | None, value: object) -> object:
    if field is None or not isinstance(value, str):
        return value
    if get_origin(field.annotation) not in (dict, frozenset, list, set, tuple):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return value  # refused a moment later, by name, as what it is


class Adapter(Protocol):
    """Performs one attempt on one kind of provider."""

    Settings: ClassVar[type[AdapterSettings]]

    def __init__(self, settings: AdapterSettings, timeout: timedelta) -> None: ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    async def deliver(self, delivery: Delivery) -> Outcome: ...


class Reach(NamedTuple):
    """Whether one place of a provider's can be reached."""

    where: str
    problem: str | None
    """None: it answers, and lets us in where that is part of it."""


@runtime_checkable
class Reachable(Protocol):
    """What an adapter may have besides: `doctor --channels` asks it."""

    async def reach(self, recipients: Sequence[str]) -> Sequence[Reach]:
        """Look names up, connect, protect the connection and log in; send no message.

        `recipients` are recent ones of the channel, for providers that are the recipients.
        """
        ...


class HoldsNothing:
    """Entering and leaving of an adapter that holds nothing between two deliveries."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass
