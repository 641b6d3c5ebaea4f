"""What ends a daemon from outside: signals, and too many calls that would not end."""

import signal

import anyio
from anyio.abc import TaskStatus

from chimewayd.run import Calls


async def heed_signals(
    stop: anyio.Event,
    everything: anyio.CancelScope,
    *,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as received:
        task_status.started()
        async for _ in received:
            if stop.is_set():
                everything.cancel()
            stop.set()


async def heed_overrun(calls: Calls, stop: anyio.Event) -> None:
    await calls.overrun.wait()
    stop.set()
