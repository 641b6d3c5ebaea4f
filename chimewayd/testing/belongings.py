"""What this process holds at a moment: tasks, threads, sockets and child processes.

Sockets and processes are read from /proc; where there is none they are not compared.
"""

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import anyio

LOOK_SECONDS = 0.01
"""Between two looks: nobody tells when a socket or a process is gone."""

_PROC = Path("/proc")


class Belongings(NamedTuple):
    """Everything that a call could leave behind."""

    tasks: frozenset["asyncio.Task[object]"]
    threads: frozenset[threading.Thread]
    sockets: frozenset[str]
    processes: frozenset[int]

    @classmethod
    def now(cls) -> "Belongings":
        return cls(
            frozenset(asyncio.all_tasks()),
            frozenset(threading.enumerate()),
            frozenset(_sockets()),
            frozenset(_children()),
        )

    def added_since(self, before: "Belongings") -> "Belongings":
        return Belongings(
            self.tasks - before.tasks,
            self.threads - before.threads,
            self.sockets - before.sockets,
            self.processes - before.processes,
        )


async def left_since(before: Belongings, within_seconds: float, *, threads: bool) -> Belongings:
    """Wait until nothing is left that was not there before; return what still is at the end.

    What belongs to the provider's end goes a moment after ours.
    """
    left = Belongings.now().added_since(before)
    with anyio.move_on_after(within_seconds):
        while any(left):
            await anyio.sleep(LOOK_SECONDS)
            left = Belongings.now().added_since(before)
            if not threads:
                left = left._replace(threads=frozenset())
    return left


def _sockets() -> Iterator[str]:
    with suppress(FileNotFoundError):
        for descriptor in (_PROC / "self" / "fd").iterdir():
            with suppress(OSError):
                name = str(descriptor.readlink())
                if name.startswith("socket:"):
                    yield name


def _children() -> Iterator[int]:
    own = str(os.getpid())
    for status in _PROC.glob("[0-9]*/stat"):
        with suppress(OSError):
            # The name before it may hold anything, a closing bracket too.
            parent = status.read_text(errors="replace").rpartition(")")[2].split()[1]
            if parent == own:
                yield int(status.parent.name)
