"""Child processes: ended by the handle that is kept, and by the kernel if we die first."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias, TypedDict

import anyio

LOOK_SECONDS = 0.01
PR_SET_PDEATHSIG = 1

Argv: TypeAlias = "Sequence[str | Path]"


class Account(TypedDict, total=False):
    """Whom a process runs as, in the words of `subprocess`; empty: as ourselves."""

    user: int
    group: int
    extra_groups: list[int]


class Child:
    """A running process in a session of its own; what it says is appended to `log`."""

    def __init__(
        self,
        argv: Argv,
        log: Path,
        environment: Mapping[str, str] = os.environ,
        account: Account | None = None,
        last_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        self.log = log
        self._last_signal = last_signal
        with log.open("ab") as output:
            # The kernel sends the last signal when the thread that starts a process has ended:
            # all are started from the main thread.
            self.process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd="/",
                start_new_session=True,
                preexec_fn=_end_with_parent(last_signal),  # noqa: PLW1509 - calls the kernel alone
                **(account or Account()),
            )

    @property
    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self, seconds: float) -> int:
        """Wait until it has ended; return its exit status.

        Raises:
            TimeoutError: it did not end in time.
        """
        with anyio.fail_after(seconds):
            while not self.has_ended:  # noqa: ASYNC110 - a process is no event
                await anyio.sleep(LOOK_SECONDS)
        return self.process.returncode

    def end(self, seconds: float = 10.0) -> None:
        """End it now, however it takes it."""
        for number in (self._last_signal, signal.SIGKILL):
            deadline = time.monotonic() + seconds
            with suppress(ProcessLookupError):
                self.process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(max(0.0, deadline - time.monotonic()))
                return


async def run(argv: Argv, log: Path, account: Account | None = None, seconds: float = 60.0) -> None:
    """Run a command to its end.

    Raises:
        RuntimeError: it failed; says the end of what it said.
        TimeoutError: it did not end in time.
    """
    child = Child(argv, log, account=account)
    try:
        if await child.ended(seconds):
            tail = log.read_text(errors="replace")[-1000:]  # noqa: ASYNC240 - a small file
            raise RuntimeError(f"{Path(argv[0]).name} failed:\n{tail}")
    finally:
        child.end()


def _end_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # loaded here: after the fork nothing may take a lock

    def ask_kernel() -> None:
        prctl(PR_SET_PDEATHSIG, number)

    return ask_kernel
