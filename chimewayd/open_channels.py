"""The adapters that are open: each in a task of its own, which enters it and leaves it.

What an adapter opens may have to be closed by the task that opened it, and a reload opens and
closes adapters while the daemon goes on.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import anyio
import structlog
from anyio.abc import TaskGroup, TaskStatus

from chimewayd.adapters.base import Adapter
from chimewayd.log import Event
from chimewayd.run import Channel

ENTER_SECONDS = 15.0
LEAVE_SECONDS = 5.0
QUIET_CHECK_SECONDS = 0.1

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Hold:
    """When an open adapter is to be left, and whether it is."""

    leave: anyio.Event = field(default_factory=anyio.Event)
    left: anyio.Event = field(default_factory=anyio.Event)


class OpenChannels:
    """Opens adapters and leaves them."""

    def __init__(self, tasks: TaskGroup) -> None:
        self._tasks = tasks
        self._holds: dict[Channel, _Hold] = {}

    async def open(self, name: str, adapter: Adapter, call_timeout: timedelta) -> Channel:
        """Enter an adapter.

        Raises:
            Exception: whatever the adapter raises.
            TimeoutError: it is not open within `ENTER_SECONDS`.
        """
        hold = _Hold()
        with anyio.fail_after(ENTER_SECONDS):
            entered = await self._tasks.start(_keep_open, name, adapter, hold)
        channel = Channel(entered, call_timeout.total_seconds())
        self._holds[channel] = hold
        return channel

    def leave(self, channel: Channel, is_quiet: Callable[[], bool]) -> None:
        """Leave an adapter as soon as its calls have ended; nobody waits for it."""
        self._tasks.start_soon(_leave_once, self._holds.pop(channel), is_quiet)

    async def leave_all(self) -> None:
        holds = list(self._holds.values())
        for hold in holds:
            hold.leave.set()
        for hold in holds:
            await hold.left.wait()


@asynccontextmanager
async def open_channels() -> AsyncIterator[OpenChannels]:
    """Leave, at the end, whatever is open by then."""
    async with anyio.create_task_group() as tasks:
        opened = OpenChannels(tasks)
        try:
            yield opened
        finally:
            with anyio.move_on_after(LEAVE_SECONDS, shield=True):
                await opened.leave_all()
            tasks.cancel_scope.cancel()


async def _keep_open(
    name: str,
    adapter: Adapter,
    hold: _Hold,
    *,
    task_status: TaskStatus[Adapter] = anyio.TASK_STATUS_IGNORED,
) -> None:
    is_open = False
    try:
        async with adapter as entered:
            is_open = True
            task_status.started(entered)
            await hold.leave.wait()
    except Exception:
        if not is_open:
            raise
        log.exception(Event.ADAPTER_MISBEHAVED, channel=name, what="failed when it was left")
    finally:
        hold.left.set()


async def _leave_once(hold: _Hold, is_quiet: Callable[[], bool]) -> None:
    while not is_quiet():  # noqa: ASYNC110 - a look now and then costs the calls nothing
        await anyio.sleep(QUIET_CHECK_SECONDS)
    hold.leave.set()
