"""Writes lines where the log goes. Whoever reads there may be gone: no delivery waits for that.

line ──▶ stream ─┬─ written
                 └─ OSError: a closed pipe, a full disk ──▶ counted, and left out

Several processes may write to one pipe or socket: then no more is written at once than is taken
in one piece, and pieces end where lines do. Otherwise one's line would stand in another's.
"""

from collections.abc import Iterator
from select import PIPE_BUF
from threading import Lock
from typing import BinaryIO

import structlog

LONGEST_PIECE_BYTES = PIPE_BUF - 1
"""Source: pipe(7), "PIPE_BUF"; a line break may come before it."""


class Output:
    """The stream of the log; a logger of structlog, and the factory of it."""

    def __init__(self, stream: BinaryIO, *, is_shared: bool = False) -> None:
        self._stream = stream
        self._is_shared = is_shared
        self._turn = Lock()
        self._begin = b""
        self.lost = 0
        """Lines that could not be written so far."""
        self.unsaid = 0
        """Those of them that no line has told of yet."""

    def __call__(self, *_: object) -> "Output":
        return self

    def direct(self, stream: BinaryIO) -> None:
        """Write to another stream from now on."""
        with self._turn:
            if stream is not self._stream:
                self._stream, self._begin = stream, b""

    def msg(self, text: bytes) -> None:
        """Write lines, the last of which has no end yet; leave them out if that fails."""
        lines = text + b"\n"
        with self._turn:
            for piece in pieces(lines) if self._is_shared else (lines,):
                try:
                    self._write(piece)
                    self._stream.flush()
                except OSError:
                    count = piece.count(b"\n")
                    self.lost += count
                    self.unsaid += count

    def said(self, count: int) -> None:
        """A line told of so many; where it was lost itself, there is one more to tell of."""
        if self.unsaid == count:
            self.unsaid = 0

    log = debug = info = warn = warning = error = exception = critical = msg

    def _write(self, lines: bytes) -> None:
        begin, self._begin = self._begin, b"\n"
        # If this fails, part of a line may be out, and the next must not be written behind it.
        self._stream.write(begin + lines)
        self._begin = b""


def pieces(lines: bytes) -> Iterator[bytes]:
    """Cut whole lines into pieces that a pipe takes at once; a line longer than that stays one."""
    start = 0
    while start < len(lines):
        end = len(lines)
        if end - start > LONGEST_PIECE_BYTES:
            last = lines.rfind(b"\n", start, start + LONGEST_PIECE_BYTES)
            end = (last if last >= 0 else lines.index(b"\n", start)) + 1
        yield lines[start:end]
        start = end


def to(stream: BinaryIO, *, is_shared: bool = False) -> Output:
    """Return the output to a stream; it goes on with what was counted before a reload."""
    if (known := current()) is None:
        return Output(stream, is_shared=is_shared)
    known.direct(stream)
    return known


def current() -> Output | None:
    """Return where the log goes now; None: it was not set up."""
    factory = structlog.get_config()["logger_factory"]
    return factory if isinstance(factory, Output) else None


def lines_lost() -> int:
    """Count the lines that could not be written so far."""
    output = current()
    return 0 if output is None else output.lost
