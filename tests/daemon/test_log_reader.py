"""A daemon whose log nobody can write to, or read, delivers all the same."""

import json
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from signal import SIGKILL

import anyio
import anyio.abc
import pytest
from engine import Connection, check_invariants, insert
from running import COMMAND, WAIT_SECONDS, Daemon

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def logging_to(dsn: str, out: int) -> AsyncIterator[anyio.abc.Process]:
    """Run a daemon that logs to a descriptor, which is closed here."""
    channels = json.dumps({"email": {"adapter": "sink"}})
    environment = {"CHIMEWAYD_DSN": dsn, "CHIMEWAYD_CHANNELS": channels}
    try:
        process = await anyio.open_process(
            [str(COMMAND), "run"],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.PIPE,
            env=os.environ | environment,
        )
    finally:
        os.close(out)
    try:
        yield process
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                process.kill()
            await process.aclose()


async def ends_well(process: anyio.abc.Process) -> None:
    """Stop it as a service manager does."""
    process.terminate()
    with anyio.fail_after(WAIT_SECONDS):
        assert await process.wait() == 0
        assert process.stderr is not None
        assert b"".join([chunk async for chunk in process.stderr]) == b""


async def test_reader_of_the_log_that_goes_away_does_not_end_the_daemon(
    dsn: str, connection: Connection, all_ended: Callable[[], Awaitable[None]]
) -> None:
    reader, writer = os.pipe()
    async with logging_to(dsn, writer) as process:
        with os.fdopen(reader, "rb") as said:
            while b"daemon_ready" not in await anyio.to_thread.run_sync(said.readline):
                pass
        for _ in range(20):
            await insert(connection)
        await all_ended()
        await ends_well(process)

    await check_invariants(connection)


async def test_log_on_a_full_disk_does_not_end_the_daemon(
    dsn: str, connection: Connection, all_ended: Callable[[], Awaitable[None]]
) -> None:
    async with logging_to(dsn, os.open("/dev/full", os.O_WRONLY)) as process:
        for _ in range(20):
            await insert(connection)
        await all_ended()
        await ends_well(process)

    await check_invariants(connection)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are found in /proc")
async def test_process_that_dies_is_replaced_although_nobody_hears_its_parent_say_so(
    dsn: str,
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    given = {
        "CHIMEWAYD_DSN": dsn,
        "CHIMEWAYD_CHANNELS": json.dumps({"email": {"adapter": "sink"}}),
        "CHIMEWAYD_LOG_FORMAT": "json",
    }
    try:
        process = await anyio.open_process(
            [str(COMMAND), "run", "--processes", "2"],
            stdin=subprocess.DEVNULL,
            stderr=writer,
            env=os.environ | given,
        )
    finally:
        os.close(writer)
    parent = Daemon(process)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(parent.read)
            await parent.said("daemon_ready", 2)
            children = anyio.Path(f"/proc/{process.pid}/task/{process.pid}/children")
            os.kill(int((await children.read_text()).split()[0]), SIGKILL)
            await parent.said("daemon_ready", 3)
            stopped = await parent.stop()
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                process.kill()
            await process.aclose()

    assert stopped.exit_code == 0
