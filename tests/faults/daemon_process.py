"""The daemon under test: the installed `chimewayd run`, started, frozen and killed."""

import json
from collections.abc import Mapping
from pathlib import Path
from signal import SIGTERM, Signals
from typing import Any

import anyio
from commands import COMMAND, clean_environment

from faults.processes import LOOK_SECONDS, Child

READY_SECONDS = 30.0


class Daemon:
    """One name in one database, over as many processes as it takes; they share a log."""

    def __init__(
        self,
        name: str,
        directory: Path,
        dsn: str,
        channels: Mapping[str, Mapping[str, Any]],
        settings: Mapping[str, object],
        environment: Mapping[str, str],
    ) -> None:
        self.name = name
        self.log = directory / f"{name}.jsonl"
        config = directory / f"{name}.toml"  # not the one that this machine may have
        config.write_text("# all of it is in the environment\n")
        ours = {
            "dsn": dsn,
            "name": name,
            "config": config,
            "log_format": "json",
            "channels": json.dumps(channels),
        } | dict(settings)
        self.environment = (
            clean_environment()
            | {f"CHIMEWAYD_{key.upper()}": f"{value}" for key, value in ours.items()}
            | dict(environment)
        )
        self._child: Child | None = None

    async def start(self, *, wait: bool = True) -> None:
        """Start a process; it is ready when this returns, unless `wait` is False.

        Raises:
            TimeoutError: it was not ready in time.
            RuntimeError: it ended.
        """
        begin = self.log.stat().st_size if self.log.exists() else 0
        self._child = Child([COMMAND, "run"], self.log, self.environment)
        if wait:
            await self.says("daemon_ready", begin)

    async def says(self, event: str, since_bytes: int = 0, seconds: float = READY_SECONDS) -> None:
        """Wait until it has logged an event after this point of its log.

        Raises:
            TimeoutError: it did not in time.
            RuntimeError: it ended before.
        """
        needle = f'"{event}"'.encode()
        with anyio.fail_after(seconds):
            while needle not in self.log.read_bytes()[since_bytes:]:
                if self._running.has_ended:
                    raise RuntimeError(f"daemon {self.name} ended before {event}:\n{self.tail()}")
                await anyio.sleep(LOOK_SECONDS)

    @property
    def _running(self) -> Child:
        if self._child is None:
            raise RuntimeError(f"daemon {self.name} was never started")
        return self._child

    @property
    def is_running(self) -> bool:
        return self._child is not None and not self._child.has_ended

    @property
    def pid(self) -> int:
        return self._running.process.pid

    def signal(self, number: Signals) -> None:
        self._running.signal(number)

    def kill(self) -> None:
        """End it as the kernel does that runs out of memory."""
        self._running.end()

    async def stop(self, seconds: float) -> int:
        """Ask it to stop; return its exit status.

        Raises:
            TimeoutError: it took longer.
        """
        self.signal(SIGTERM)
        return await self.ended(seconds)

    async def ended(self, seconds: float) -> int:
        """Wait until it has ended by itself; return its exit status.

        Raises:
            TimeoutError: it took longer.
        """
        return await self._running.ended(seconds)

    def lines(self) -> list[dict[str, Any]]:
        """Return the events that it logged; a line that a kill cut off is left out."""
        found = []
        for line in self.log.read_text(errors="replace").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return found

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""

    def end(self) -> None:
        if self._child is not None:
            self._child.end()
