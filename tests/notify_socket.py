"""A service manager's ear: the socket of $NOTIFY_SOCKET, and what was said to it.

async with service_manager(tmp_path) as manager:
    …start a process with manager.environment…
    await manager.heard("READY=1")
"""

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio

WAIT_SECONDS = 20.0
LONGEST_BYTES = 65_536


@dataclass(slots=True)
class ServiceManager:
    """Hears messages and remembers them in order."""

    address: str
    """As in $NOTIFY_SOCKET: @ begins a name in the abstract namespace."""
    messages: list[list[str]] = field(default_factory=list)
    _changed: anyio.Event = field(default_factory=anyio.Event)

    @property
    def environment(self) -> dict[str, str]:
        return {"NOTIFY_SOCKET": self.address}

    @property
    def said(self) -> list[str]:
        """Every assignment so far."""
        return [line for message in self.messages for line in message]

    def statuses(self) -> list[str]:
        return [line.removeprefix("STATUS=") for line in self.said if line.startswith("STATUS=")]

    async def heard(self, assignment: str, count: int = 1) -> None:
        """Wait until it was said this often; only its beginning counts."""
        with anyio.move_on_after(WAIT_SECONDS):
            while self.times(assignment) < count:
                await self._changed.wait()
        assert self.times(assignment) >= count, f"{assignment}: {self.said}"

    def times(self, assignment: str) -> int:
        return sum(line.startswith(assignment) for line in self.said)

    async def listen(self, ear: socket.socket) -> None:
        while True:
            await anyio.wait_readable(ear)
            self.messages.append(ear.recv(LONGEST_BYTES).decode().splitlines())
            changed, self._changed = self._changed, anyio.Event()
            changed.set()


@asynccontextmanager
async def service_manager(
    place: Path, *, is_abstract: bool = False
) -> AsyncIterator[ServiceManager]:
    """Listen for as long as the context is open."""
    name = f"@chimewayd-test-{os.getpid()}-{id(place)}" if is_abstract else str(place / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(f"\0{name[1:]}" if is_abstract else name)
        ear.setblocking(False)  # noqa: FBT003 - the standard library's own
        manager = ServiceManager(name)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(manager.listen, ear)
            yield manager
            tasks.cancel_scope.cancel()
