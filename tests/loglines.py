"""Log lines caught in memory, and the set-up of logging undone afterwards."""

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from chimewayd import log

SECRET = "s3cret"
URL = f"postgresql://user:{SECRET}@h/d"
HOSTILE = 'x\n{"level":"error"}\r\x1b[2J\x9b2J\u202e\u2028\x7f\U000e0001y'


@contextmanager
def restored_logging() -> Iterator[None]:
    """Undo `log.setup`."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        logging.captureWarnings(capture=False)
        root.handlers[:], root.level = handlers, level
        structlog.reset_defaults()


def started(fmt: str = "json", level: str = "info", out: io.BytesIO | None = None) -> io.BytesIO:
    """Set logging up to be caught."""
    stream = out or io.BytesIO()
    log.setup(level, fmt, stream, {})
    return stream


def lines(stream: io.BytesIO) -> list[dict[str, Any]]:
    """Decode what was caught."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]
