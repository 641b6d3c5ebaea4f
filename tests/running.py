"""Runs the installed `chimewayd run` as a process and reads what it logs.

    async with running(dsn, {"hooks": WEBHOOK}, poll_interval="60s") as daemon:
        …insert…
        await daemon.said("attempt_recorded")
        stopped = await daemon.stop()

It is ready when the context is entered, and gone when the context is left, however that happens.
"""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM, Signals
from typing import Any, TypeVar

import anyio
import anyio.abc

COMMAND = Path(sys.executable).with_name("chimewayd")
WAIT_SECONDS = 20.0
LOOK_SECONDS = 0.02
SHOWN_LINES = 30

Line = dict[str, Any]
T = TypeVar("T")

WEBHOOK: dict[str, Any] = {
    "adapter": "webhook",
    "settings": {"allow_networks": ["127.0.0.0/8"]},
    "retry": {"schedule": ["50ms", "50ms"]},
}
"""A channel to receivers on this machine that gives up quickly: three attempts."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """How the process ended and all that it said."""

    exit_code: int
    lines: list[Line]

    def events(self) -> list[str]:
        return [line["event"] for line in self.lines]


class Daemon:
    """The running process."""

    def __init__(self, process: anyio.abc.Process) -> None:
        self.process = process
        self.lines: list[Line] = []
        self.other_output: list[str] = []
        self._changed = anyio.Event()
        self._has_ended = False

    async def read(self) -> None:
        """Collect what it says until it says nothing any more."""
        assert self.process.stdout is not None
        rest = b""
        async for chunk in self.process.stdout:
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                self._note(line)
            self._announce()
        self._has_ended = True
        self._announce()

    def of(self, event: str, **fields: object) -> list[Line]:
        """Return the lines of an event that have these fields."""
        return [
            line for line in self.lines if line["event"] == event and fields.items() <= line.items()
        ]

    async def said(self, event: str, count: int = 1, **fields: object) -> list[Line]:
        """Wait until it has said so `count` times; fail at once if it ends before."""
        with anyio.move_on_after(WAIT_SECONDS):
            while len(self.of(event, **fields)) < count and not self._has_ended:
                await self._changed.wait()
        found = self.of(event, **fields)
        assert len(found) >= count, f"{event} {fields}: {len(found)} of {count}\n{self._tail()}"
        return found

    async def printed(self, text: str) -> None:
        """Wait until a line that is no event says so: a plug-in's, for example."""
        with anyio.move_on_after(WAIT_SECONDS):
            while text not in self.other_output and not self._has_ended:
                await self._changed.wait()
        assert text in self.other_output, self._tail()

    def signal(self, number: Signals) -> None:
        self.process.send_signal(number)

    async def ended(self) -> Stopped:
        """Wait until the process has ended by itself."""
        with anyio.move_on_after(WAIT_SECONDS):
            while not self._has_ended:
                await self._changed.wait()
            return Stopped(await self.process.wait(), self.lines)
        raise AssertionError(f"still running\n{self._tail()}")

    async def stop(self, number: Signals = SIGTERM) -> Stopped:
        """Send a signal and wait for the end."""
        self.signal(number)
        return await self.ended()

    def _note(self, line: bytes) -> None:
        try:
            self.lines.append(json.loads(line))
        except ValueError:
            self.other_output.append(line.decode(errors="replace"))

    def _announce(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()

    def _tail(self) -> str:
        shown = [json.dumps(line) for line in self.lines[-SHOWN_LINES:]]
        return "\n".join([*shown, *self.other_output])


@asynccontextmanager
async def running(
    dsn: str,
    channels: Mapping[str, Mapping[str, Any]],
    environment: Mapping[str, str] | None = None,
    **settings: object,
) -> AsyncIterator[Daemon]:
    """Run a daemon; `settings` are those of the configuration, by their own names."""
    ours = {"dsn": dsn, "channels": json.dumps(channels), "log_format": "json"} | settings
    inherited = {k: v for k, v in os.environ.items() if not k.upper().startswith("CHIMEWAYD_")}
    process = await anyio.open_process(
        [str(COMMAND), "run"],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        env=inherited
        | {f"CHIMEWAYD_{name.upper()}": str(value) for name, value in ours.items()}
        | dict(environment or {}),
    )
    daemon = Daemon(process)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(daemon.read)
            await daemon.said("daemon_ready")
            yield daemon
            tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                process.kill()
            await process.aclose()


async def eventually(ask: Callable[[], Awaitable[T]], wanted: T) -> None:
    """Ask until the answer is the wanted one."""
    answer = await ask()
    with anyio.move_on_after(WAIT_SECONDS):
        while answer != wanted:
            await anyio.sleep(LOOK_SECONDS)
            answer = await ask()
    assert answer == wanted, answer
