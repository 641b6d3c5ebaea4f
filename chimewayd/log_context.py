"""What a line says of where it comes from, whoever logs it: the daemon, and the call.

Both cost nothing until a line is written: a worker binds itself once, and is asked for the call
it is in by then.
"""

from collections.abc import Callable, Mapping
from contextvars import ContextVar

from structlog.typing import EventDict, WrappedLogger

Ids = Callable[[], Mapping[str, object]]

instance: str | None = None
"""The daemon's name, where several share one output; set once, before anything is logged."""

_ids: ContextVar[Ids | None] = ContextVar("ids", default=None)


def bind_ids(ids: Ids) -> None:
    """Have every line of this task, and of those it starts, carry what `ids` returns by then."""
    _ids.set(ids)


def add_ids(_: WrappedLogger, __: str, fields: EventDict) -> EventDict:
    """Add the ids that are bound; what the line says itself comes first."""
    ids = _ids.get()
    return (
        fields if ids is None else {**fields, **{k: v for k, v in ids().items() if k not in fields}}
    )
