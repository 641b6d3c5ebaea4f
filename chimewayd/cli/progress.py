"""A bar for long work: how far, how quickly, until when; on a terminal only."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click


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
