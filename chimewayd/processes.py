"""Several daemons side by side: a parent starts them, passes signals on and replaces the dead.

    parent ─┬─▶ name-1 ─── ends with 78 ───▶ all are stopped, and 78 is the end
            └─▶ name-2 ─── ends otherwise ─▶ back-off ─▶ name-2 anew
      │ SIGTERM, SIGINT: each is passed on ─▶ all end ─▶ the worst exit status is the end
      │ SIGHUP: each is passed on ─▶ each reads its configuration anew
      └─ ends, however ─▶ end of file on the children's standard input ─▶ they stop in order

The kernel closes our end of that socket whatever ends us, so that SIGKILL needs no handler. The
parent delivers nothing and has no database session; the children know nothing of each other.
"""

import os
import random
import signal
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from threading import Thread

import anyio
from anyio.abc import Process, TaskStatus

from chimewayd.chorus import Chorus
from chimewayd.errors import ConfigError, MigrationDrift
from chimewayd.systemd import PINGS_PER_WATCHDOG, STATUS_SECONDS, Notifier, for_children

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0
STEADY_SECONDS = 60.0
"""Who lived this long did not fail at its start: the next wait is a first one again."""

HOPELESS = frozenset(error.exit_code for error in (ConfigError, MigrationDrift))
"""Exit statuses that a new process would end with too."""

_STEPS = 16

LONGEST_SAID_BYTES = 65_536


def wait_before_restart(failures: int, share: float) -> float:
    """Return the seconds to wait after so many failures in a row.

    `share`, from 0 to 1, is the jitter: children that died together do not come back together.
    """
    longest = min(FIRST_WAIT_SECONDS * 2.0 ** min(failures - 1, _STEPS), LONGEST_WAIT_SECONDS)
    return longest * (1 + share) / 2


def exit_status(returncode: int) -> int:
    """Say it as a shell does: 128 and the signal's number, where a signal was the end."""
    return 128 - returncode if returncode < 0 else returncode


def worst(returncodes: Iterable[int]) -> int:
    """Return the exit status of a stop from those of the children.

    A child that had no handler yet was ended by the very signal that asked it to stop.
    """
    asked = (0, -signal.SIGTERM)
    return max((exit_status(code) for code in returncodes if code not in asked), default=0)


class Children:
    """The processes that run, how those that were to stop have ended, and whether all are to."""

    def __init__(self, chorus: Chorus, tell: Callable[[str], None]) -> None:
        self.stopping = anyio.Event()
        self.returncodes: list[int] = []
        self.hopeless: int | None = None
        self._chorus = chorus
        self._tell = tell
        self._running: dict[str, Process] = {}
        self._aborted: set[Process] = set()
        self._starting = anyio.Lock()

    async def keep(self, name: str, command: Sequence[str]) -> None:
        """Run the command, and again whenever it ends, until all are to stop."""
        failures = 0
        while not self.stopping.is_set():
            began_at = anyio.current_time()
            returncode = await self._run(name, command)
            if self.stopping.is_set():
                self.returncodes.append(returncode)
            elif returncode in HOPELESS:
                self.hopeless = returncode
                self.stop()
            else:
                has_been_steady = anyio.current_time() - began_at >= STEADY_SECONDS
                failures = 1 if has_been_steady else failures + 1
                wait = wait_before_restart(failures, random.random())  # noqa: S311 - no secret
                said = f"{name} ended with status {exit_status(returncode)}"
                self._tell(f"{said}; another one starts in {wait:.1f} s")
                with anyio.move_on_after(wait):
                    await self.stopping.wait()

    def stop(self) -> None:
        """Ask each process to stop; the second time, to end at once."""
        self.stopping.set()
        # SIGTERM for SIGINT too: a child that is still importing would answer that with a
        # traceback.
        self._signal(signal.SIGTERM)

    def reload(self) -> None:
        """Ask each process to read its configuration anew."""
        self._signal(signal.SIGHUP)
        self._chorus.reload()

    def end_silent(self, watchdog_seconds: float) -> None:
        """End those that stand still, so that they are replaced: with a trace, if they can."""
        for name in self._chorus.silent(anyio.current_time(), watchdog_seconds):
            if process := self._running.get(name):
                if process not in self._aborted:
                    self._tell(f"{name} stands still; it is ended")
                number = signal.SIGKILL if process in self._aborted else signal.SIGABRT
                self._aborted.add(process)
                _send(process, number)

    def _signal(self, number: signal.Signals) -> None:
        for process in self._running.values():
            _send(process, number)

    async def _run(self, name: str, command: Sequence[str]) -> int:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)  # noqa: FBT003 - the standard library's own
        with ours:
            try:
                with theirs:
                    process = await self._start(command, theirs)
            except OSError as error:  # no memory, too many processes: not now
                self._tell(f"cannot start {command[0]}: {error.strerror}")
                return os.EX_OSERR
            self._running[name] = process
            if self.stopping.is_set():
                _send(process, signal.SIGTERM)
            try:
                return await self._heard_out(name, process, ours)
            finally:
                del self._running[name]
                self._aborted.discard(process)
                self._chorus.forget(name)

    async def _start(self, command: Sequence[str], theirs: socket.socket) -> Process:
        async with self._starting:
            # A process inherits what is held back: a reload would end one that is not yet ready
            # for it, and waits instead.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
            try:
                return await anyio.open_process(
                    command,
                    stdin=theirs.fileno(),
                    stdout=None,
                    stderr=None,
                    env=for_children(),
                    start_new_session=True,  # a terminal's Ctrl-C reaches them through us alone
                )
            finally:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})

    async def _heard_out(self, name: str, process: Process, ours: socket.socket) -> int:
        async with anyio.create_task_group() as hearing:
            hearing.start_soon(_hear, name, ours, self._chorus)
            returncode = await process.wait()
            hearing.cancel_scope.cancel()
        return returncode


async def supervise(
    commands: Mapping[str, Sequence[str]],
    tell: Callable[[str], None],
    notifier: Notifier | None = None,
    watchdog_seconds: float | None = None,
) -> int:
    """Keep these commands running, by name, until a stop signal; return the exit status.

    `tell` is told of each that ended by itself. The standard input of each is a socket: it is at
    its end when this process is gone (see `stop_with_parent`), and takes what the child wants the
    service manager to know.
    """
    told = notifier or Notifier()
    chorus = Chorus(commands, told)
    children = Children(chorus, tell)
    async with anyio.create_task_group() as everything:
        await everything.start(_pass_signals_on, children, told)
        everything.start_soon(_speak, children, chorus, watchdog_seconds)
        async with anyio.create_task_group() as kept:
            for name, command in commands.items():
                kept.start_soon(children.keep, name, command)
        everything.cancel_scope.cancel()
    return worst(children.returncodes) if children.hopeless is None else children.hopeless


async def _speak(children: Children, chorus: Chorus, watchdog_seconds: float | None) -> None:
    interval = min(STATUS_SECONDS, (watchdog_seconds or STATUS_SECONDS) / PINGS_PER_WATCHDOG)
    while True:
        chorus.speak()
        if watchdog_seconds is not None:
            children.end_silent(watchdog_seconds)
        await anyio.sleep(interval)


async def _hear(name: str, ours: socket.socket, chorus: Chorus) -> None:
    while True:
        await anyio.wait_readable(ours)
        said = ours.recv(LONGEST_SAID_BYTES)
        if not said:
            return
        chorus.hear(name, said, anyio.current_time())


def stop_with_parent(lifeline: int, patience_seconds: float) -> None:
    """Stop this process once nobody holds the other end of `lifeline`.

    It is asked by SIGTERM, and killed where it has not ended after `patience_seconds`. A thread
    waits for it: that needs no event loop, so it works from the first moment.
    """

    def watch() -> None:
        # A parent that dies with something unread leaves a reset, and no end of file.
        with suppress(ConnectionResetError):
            while os.read(lifeline, 1):
                pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(patience_seconds)
        os.kill(os.getpid(), signal.SIGKILL)

    Thread(target=watch, name="stop_with_parent", daemon=True).start()


async def _pass_signals_on(
    children: Children,
    notifier: Notifier,
    *,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as received:
        # Held back since the start of the process.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        task_status.started()
        async for number in received:
            if number == signal.SIGHUP:
                children.reload()
                continue
            notifier.tell("STOPPING=1")
            children.stop()


def _send(process: Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(number)
