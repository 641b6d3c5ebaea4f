"""Events as lines: JSON for machines, columns for a terminal, one write for a batch.

    event ── level filter ── bound context ── not too often ──▶ render ── redact, escape ──▶ bytes

Event names are this closed list; all else about an event is a field. Secrets are struck out last,
when tracebacks are text. No value can begin a line of its own or steer a terminal.
"""

import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, BinaryIO, Final

import orjson
import structlog
from structlog.typing import EventDict, WrappedLogger

from chimewayd import log_context, log_output
from chimewayd.log_repeats import Repeats
from chimewayd.log_text import escaped, is_journal, printable
from chimewayd.redaction import is_secret_name, may_hold_secret, plain, redact_fields

_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_SYSLOG_PRIORITIES: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
_METHOD_LEVELS: Final = {"warn": "warning", "exception": "error"}
_RESERVED: Final = frozenset({"ts", "level", "event", "instance"})


class Event(StrEnum):
    """Everything the daemon ever says. A rename breaks somebody's alert."""

    ADAPTER_ABANDONED = "adapter_abandoned"
    ADAPTER_MISBEHAVED = "adapter_misbehaved"
    ATTEMPT_RECORDED = "attempt_recorded"
    BREAKER_CLOSED = "breaker_closed"
    BREAKER_OPENED = "breaker_opened"
    BREAKER_STAYS_OPEN = "breaker_stays_open"
    CHANNEL_PAUSED = "channel_paused"
    CHANNEL_UNSAFE = "channel_unsafe"
    CHANNEL_UNSERVED = "channel_unserved"
    CLAIM_LOCKED = "claim_locked"
    CONFIG_DROPPED_OPTION = "config_dropped_option"
    CONFIG_NEEDS_RESTART = "config_needs_restart"
    CONFIG_REFUSED = "config_refused"
    CONFIG_RELOADED = "config_reloaded"
    DAEMON_DRAINING = "daemon_draining"
    DAEMON_FAILED = "daemon_failed"
    DAEMON_READY = "daemon_ready"
    DAEMON_STARTED = "daemon_started"
    DAEMON_STOPPED = "daemon_stopped"
    DATABASE_LOST = "database_lost"
    DATABASE_RESTORED = "database_restored"
    DATABASE_UNPROTECTED = "database_unprotected"
    DELIVERIES_PRUNED = "deliveries_pruned"
    DELIVERY_DEFERRED = "delivery_deferred"
    DELIVERY_ENDED = "delivery_ended"
    DELIVERY_LOGGED = "delivery_logged"
    DELIVERY_RELEASED = "delivery_released"
    HTTP_LISTENING = "http_listening"
    HOSTS_SHARED = "hosts_shared"
    LEASES_LOST = "leases_lost"
    LEASES_RESCUED = "leases_rescued"
    LIBRARY_LOG = "library_log"
    LINES_HELD_BACK = "lines_held_back"
    LINES_LOST = "lines_lost"
    LISTENER_CONNECTED = "listener_connected"
    LISTENER_DEAF = "listener_deaf"
    LISTENER_LOST = "listener_lost"
    LOOP_BLOCKED = "loop_blocked"
    MIGRATION_APPLIED = "migration_applied"
    NAME_TAKEN = "name_taken"
    OUTCOME_STALE = "outcome_stale"
    PAGE_FAILED = "page_failed"
    PRUNE_FAILED = "prune_failed"
    QUEUE_FIGURES_FAILED = "queue_figures_failed"
    RECORD_FAILED = "record_failed"
    RECORD_LOCKED = "record_locked"
    RELEASE_LOCKED = "release_locked"
    SECRETS_EXPOSED = "secrets_exposed"
    STAGE_STALLED = "stage_stalled"
    SWEEP_FAILED = "sweep_failed"
    TEST_MODE = "test_mode"


_NEVER_HELD_BACK: Final = {
    *(Event.ATTEMPT_RECORDED, Event.OUTCOME_STALE, Event.LINES_HELD_BACK, Event.LINES_LOST)
}


def setup(
    level: str,
    fmt: str,
    out: BinaryIO | None = None,
    environment: Mapping[str, str] = os.environ,
) -> None:
    """Send our events, other libraries' warnings and Python's warnings to `out`, or stdout.

    `level` and `fmt` are values of `config_types.LogLevel` and `LogFormat`.
    """
    stream = sys.stdout.buffer if out is None else out
    is_terminal = stream.isatty()
    is_console = is_terminal if fmt == "auto" else fmt == "console"
    has_priorities = is_journal(stream, environment)
    lines: JsonLines | ConsoleLines = (
        ConsoleLines(has_priorities, is_terminal and not environment.get("NO_COLOR"))
        if is_console
        else JsonLines(has_priorities, _LEVELS[level])
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            log_context.add_ids,
            _repeats(),
            lines,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=log_output.to(stream, is_shared=log_context.instance is not None),
        cache_logger_on_first_use=False,  # a second set-up reaches every module
    )
    _join_libraries()


def _repeats() -> Repeats:
    """Go on with what was counted before a reload."""
    known = [one for one in structlog.get_config()["processors"] if isinstance(one, Repeats)]
    return known[0] if known else Repeats(_NEVER_HELD_BACK)


def lines_held_back() -> int:
    """Count the lines that were held back so far."""
    return _repeats().total


def say_left_out() -> None:
    """Say what was held back, or could not be written, and was not said since."""
    logger = structlog.get_logger()
    for kind in _repeats().take_unsaid():
        logger.warning(Event.LINES_HELD_BACK, of=kind.event, about=kind.about, count=kind.count)
    if (output := log_output.current()) and (count := output.unsaid):
        logger.warning(Event.LINES_LOST, count=count)
        output.said(count)


def emit_many(level: str, event: Event, batch: Sequence[Mapping[str, object]]) -> None:
    """Log an event once for each of these fields: one timestamp and one write for all of them."""
    config = structlog.get_config()
    lines = config["processors"][-1]
    if isinstance(lines, JsonLines):
        if text := lines.render_many(level, event, batch):
            config["logger_factory"]().msg(text)
        return
    logger = structlog.get_logger()
    for fields in batch:
        logger.log(_LEVELS[level], event, **fields)


class JsonLines:
    """Renders each event as one line of JSON, in pure printable characters."""

    def __init__(self, has_priorities: bool, least_level: int) -> None:
        self._has_priorities = has_priorities
        self._least_level = least_level

    def __call__(self, _: WrappedLogger, method: str, fields: EventDict) -> bytes:
        event = fields.pop("event")
        level = _METHOD_LEVELS.get(method, method)
        return _line(self._head(_now(), level, event), fields)

    def render_many(self, level: str, event: Event, batch: Sequence[Mapping[str, object]]) -> bytes:
        """Render a line for each, all with the same timestamp; nothing, if the level is too low."""
        if not batch or _LEVELS[level] < self._least_level:
            return b""
        bound = structlog.contextvars.get_contextvars()
        if bound:
            batch = [{**bound, **fields} for fields in batch]
        head = self._head(_now(), level, event)
        return _quick_lines(head, batch) or b"\n".join([_line(head, fields) for fields in batch])

    def _head(self, now: str, level: str, event: str) -> bytes:
        prefix = _priority(level) if self._has_priorities else ""
        who = f',"instance":"{log_context.instance}"' if log_context.instance else ""
        said = f'{prefix}{{"ts":"{now}","level":"{level}","event":{json.dumps(event)}{who}'
        return said.encode()


class ConsoleLines:
    """Renders each event for people, in columns; what a value holds stays in its column."""

    def __init__(self, has_priorities: bool, has_colors: bool) -> None:
        self._has_priorities = has_priorities
        self._renderer = structlog.dev.ConsoleRenderer(
            colors=has_colors,
            sort_keys=False,
            timestamp_key="ts",
            exception_formatter=structlog.dev.plain_traceback,
        )

    def __call__(self, logger: WrappedLogger, method: str, fields: EventDict) -> bytes:
        level = _METHOD_LEVELS.get(method, method)
        event = printable(str(fields.pop("event")))
        shown = {
            key: printable(value, keep="\n" if key == "exception" else "")
            if isinstance(value, str)
            else value
            for key, value in _safe(fields).items()
        }
        head = {"ts": _now(), "level": level, "event": event}
        if log_context.instance:
            head["instance"] = log_context.instance
        text = self._renderer(logger, method, {**head, **shown})
        if self._has_priorities:
            priority = _priority(level)
            text = priority + text.replace("\n", f"\n{priority}")
        return text.encode()


class LibraryHandler(logging.Handler):
    """Turns the records of `logging` and `warnings` into our own events."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log the record; a record that cannot be formatted is left to `logging` to report."""
        logger = structlog.get_logger()
        log = logger.error if record.levelno >= logging.ERROR else logger.warning
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - a library's own arguments: whatever they raise
            self.handleError(record)
            return
        log(Event.LIBRARY_LOG, logger=record.name, message=message, exc_info=record.exc_info)


def _join_libraries() -> None:
    root = logging.getLogger()
    for handler in [known for known in root.handlers if isinstance(known, LibraryHandler)]:
        root.removeHandler(handler)
    root.addHandler(LibraryHandler())
    root.setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)


def _quick_lines(head: bytes, batch: Sequence[Mapping[str, object]]) -> bytes | None:
    """Render a batch in one piece and look at it once; None if any of it needs a closer look."""
    if not all(map(_is_plain_shape, set(map(tuple, batch)))):
        return None
    try:
        bodies = orjson.dumps(batch, default=plain)
    except TypeError:
        return None
    if _needs_care(bodies, len(batch)):
        return None
    # As many braces as lines: each of these is the end of one.
    return b"%b,%b" % (head, bodies[2:-1].replace(b"},{", b"}\n%b," % head))


def _line(head: bytes, fields: Mapping[str, object]) -> bytes:
    if quick := _quick_lines(head, [fields]):
        return quick
    if not fields:
        return head + b"}"
    return head + b"," + escaped(orjson.dumps(_safe(fields)))[1:]


def _needs_care(bodies: bytes, count: int) -> bool:
    # One more brace is a value with names of its own, or a text that only looks like one.
    return (
        bodies.count(b"{") > count
        or not bodies.isascii()
        or b"\x7f" in bodies
        or may_hold_secret(bodies)
    )


@lru_cache(maxsize=1024)
def _is_plain_shape(names: tuple[str, ...]) -> bool:
    return bool(names) and not any(
        name in _RESERVED or name == "exc_info" or is_secret_name(name) for name in names
    )


def _safe(fields: Mapping[str, object]) -> dict[str, Any]:
    """Make a traceback text, and strike out secrets afterwards: it may hold them too."""
    named = {f"{name}_" if name in _RESERVED else name: fields[name] for name in fields}
    return redact_fields(structlog.processors.format_exc_info(None, "", named))


def _priority(level: str) -> str:
    return f"<{_SYSLOG_PRIORITIES[level]}>"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
