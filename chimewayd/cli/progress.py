"""A bar for long work: how far, how quickly, until when; or a line. On a terminal only."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

UNKNOWN_COLUMNS = 80
"""Of a terminal that does not say how wide it is."""


@contextmanager
def progress(label: str, length: int, *, hidden: bool = False) -> Iterator[Callable[[int], None]]:
    """Show a bar on stderr; yield what to call with how many more were done."""
    began, done = time.monotonic(), 0

    def rate(_: object) -> str:
        return f"{done / max(time.monotonic() - began, 0.001):,.0f}/s"

    with click.progressbar(
        length=length,
        label=label,
        file=sys.stderr,
        show_pos=True,
        show_percent=True,
        show_eta=True,
        item_show_func=rate,
        hidden=hidden or not sys.stderr.isatty(),
    ) as bar:

        def advance(count: int) -> None:
            nonlocal done
            done += count
            bar.update(count)

        yield advance


@contextmanager
def line(*, hidden: bool = False) -> Iterator[Callable[[str], None] | None]:
    """Yield what to call with a text, shown on stderr in place of the last; in the end it is gone.

    None where nobody would see it.
    """
    if hidden or not sys.stderr.isatty():
        yield None
        return
    is_blank = True

    def show(text: str) -> None:
        nonlocal is_blank
        width = (os.get_terminal_size(sys.stderr.fileno()).columns or UNKNOWN_COLUMNS) - 1
        end = "" if text else "\r"
        sys.stderr.write(f"\r{text[:width]:<{width}}{end}")
        sys.stderr.flush()
        is_blank = not text

    try:
        yield show
    finally:
        if not is_blank:
            show("")
