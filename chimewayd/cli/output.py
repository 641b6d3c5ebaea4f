"""What commands print: one JSON document, or text for people, in colour on a terminal only."""
# ruff: noqa: PLC0415 - imports inside functions keep --help quick

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, TextIO
from uuid import UUID

import click

from chimewayd.cli.failure import READER_GONE

json_option: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document instead of text for people."
)


def emit(text: str) -> None:
    """Print text and a line break.

    Raises:
        ChimewaydError: it cannot be written.
    """
    from chimewayd.errors import ChimewaydError

    try:
        print(text, flush=True)  # noqa: T201 - this is where commands print
    except BrokenPipeError as error:
        raise click.exceptions.Exit(READER_GONE) from error
    except OSError as error:
        raise ChimewaydError(f"cannot write the output: {error.strerror}") from error


def emit_json(document: Mapping[str, object]) -> None:
    """Print one JSON document: indented on a terminal, else on one line."""
    import orjson

    _emit_json(document, orjson.OPT_INDENT_2 if sys.stdout.isatty() else 0)


def emit_json_line(document: Mapping[str, object]) -> None:
    """Print one of many JSON documents, each on its line, also on a terminal."""
    _emit_json(document, 0)


def _emit_json(document: Mapping[str, object], option: int) -> None:
    import orjson

    from chimewayd.log_text import escaped

    data = orjson.dumps(document, _plain, orjson.OPT_UTC_Z | option)
    # JSON itself lets pass what steers a terminal, but for the oldest of it.
    emit(b"\n".join(map(escaped, data.split(b"\n"))).decode())


def _plain(value: object) -> str:
    # asyncpg's ids are of a class of their own, which orjson does not take for UUIDs.
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def log_to_stderr() -> None:
    """Let what modules log, warnings at least, not come between what a command prints."""
    from chimewayd import log

    log.setup("warning", "console", sys.stderr.buffer)


def drop(stream: TextIO) -> None:
    """Let what is still buffered go nowhere, so that the interpreter's exit does not complain."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def has_colour() -> bool:
    """Tell whether stdout is a terminal whose user did not say no (https://no-color.org)."""
    return (
        sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    )


def paint(text: str, colour: str | None = None, *, bold: bool = False, dim: bool = False) -> str:
    """Return the text in colour if stdout shows colours; pad before, for colours have length."""
    if not has_colour():
        return text
    return click.style(text, fg=colour, bold=bold or None, dim=dim or None)


def printable(text: str) -> str:
    """Escape what could begin a line or steer a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def table(header: tuple[str, ...], rows: list[tuple[str, ...]], right: frozenset[str]) -> list[str]:
    """Align rows under a header; the columns named in `right` to the right."""
    cells = [header, *(tuple(map(printable, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if name in right else cell.ljust(width)
            for cell, width, name in zip(row, widths, header, strict=True)
        ).rstrip()
        for row in cells
    ]
