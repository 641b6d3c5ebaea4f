"""A process of several stops once its parent is gone, however the parent went."""

import sys
from signal import SIGKILL, SIGTERM
from socket import socketpair

import anyio
import pytest

pytestmark = pytest.mark.anyio

WAIT_SECONDS = 20.0


async def test_process_whose_loop_stands_still_is_killed_once_its_parent_is_gone() -> None:
    deaf = (
        "import signal, sys, time; from chimewayd.processes import stop_with_parent;"
        "signal.signal(signal.SIGTERM, lambda *_: print('asked', flush=True));"
        "stop_with_parent(0, 3)\n"
        "while True: time.sleep(1000)"
    )

    with anyio.fail_after(WAIT_SECONDS):
        async with await anyio.open_process([sys.executable, "-c", deaf], stderr=None) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            await process.stdin.aclose()
            said = b"".join([chunk async for chunk in process.stdout])

    assert said == b"asked\n"
    assert process.returncode == -SIGKILL


async def test_process_is_asked_to_stop_although_its_parent_left_something_unread() -> None:
    ours, theirs = socketpair()
    theirs.send(b"READY=1")
    waiting = (
        "from chimewayd.processes import stop_with_parent; import time;"
        f"stop_with_parent(0, {WAIT_SECONDS}); print('watching', flush=True); time.sleep(1000)"
    )

    with anyio.fail_after(WAIT_SECONDS), theirs:
        async with await anyio.open_process(
            [sys.executable, "-c", waiting], stdin=theirs.fileno(), stderr=None
        ) as process:
            assert process.stdout is not None
            await process.stdout.receive()
            theirs.close()
            ours.close()
            await process.wait()

    assert process.returncode == -SIGTERM
