"""What reaches a daemon from outside: signals; and what ends it from inside: calls that never end.

SIGTERM, SIGINT   stop in order; the second time, at once
SIGHUP            read the configuration anew; during the start: after it
"""

import signal

import anyio
from anyio.abc import TaskStatus

from chimewayd.state import State


async def heed_signals(
    state: State,
    everything: anyio.CancelScope,
    *,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as received:
        # Held back since the start of the process.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        task_status.started()
        try:
            async for number in received:
                if number == signal.SIGHUP:
                    state.reload.ring()
                    continue
                if state.stop.is_set():
                    everything.cancel()
                state.stop.set()
        finally:
            # Nobody heeds it any more, and it would end us before we have left.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})


async def heed_overrun(state: State) -> None:
    await state.calls.overrun.wait()
    state.stop.set()
