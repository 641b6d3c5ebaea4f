"""`chimewayd run --processes N`: several daemons under one parent, and how they end together."""

import json
import os
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGKILL, SIGTERM, Signals
from threading import Thread
from typing import Any

import anyio
import pytest
from commands import COMMAND, clean_environment
from endpoint_client import ask
from engine import Connection, check_invariants
from gated import Gate
from running import LOOK_SECONDS, WEBHOOK, Daemon, eventually

from chimewayd import processes
from chimewayd.processes import LONGEST_WAIT_SECONDS, supervise, wait_before_restart, worst
from chimewayd.systemd import Notifier

pytestmark = pytest.mark.anyio

WAIT_SECONDS = 20.0
INSERT_MANY = """
insert into chimeway.deliveries (channel, recipient, payload)
select 'hooks', $1, '{}' from generate_series(1, $2::integer)
returning id::text
"""
SUCCEEDED = "select count(*) from chimeway.deliveries where status = 'succeeded'"
OUTCOMES = "select array_agg(distinct outcome) from chimeway.delivery_attempts"
NAMES = "select array_agg(name order by name) from chimeway.daemons"
CHILDREN_OF = "/proc/{0}/task/{0}/children"

needs_proc = pytest.mark.skipif(
    not Path(CHILDREN_OF.format(os.getpid())).exists(), reason="children are found in Linux's /proc"
)


@asynccontextmanager
async def running_two(
    dsn: str, channels: Mapping[str, Mapping[str, Any]], **settings: object
) -> AsyncIterator[Daemon]:
    """Run a parent and two daemons, named twin-1 and twin-2; both are ready on entry.

    Their output ends when the last of the three has.
    """
    ours = {"dsn": dsn, "channels": json.dumps(channels), "log_format": "json", "name": "twin"}
    given = {f"CHIMEWAYD_{name.upper()}": str(v) for name, v in (ours | settings).items()}
    process = await anyio.open_process(
        [str(COMMAND), "run", "--processes", "2"],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        env=clean_environment() | given,
        start_new_session=True,
    )
    parent = Daemon(process)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(parent.read)
            await parent.said("daemon_ready", 2)
            yield parent
            tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                process.kill()
            await process.aclose()


def children_of(parent: Daemon) -> list[int]:
    """Return the process ids of the daemons, the oldest first."""
    listed = Path(CHILDREN_OF.format(parent.process.pid)).read_text("utf-8")
    return [int(pid) for pid in listed.split()]


async def test_two_processes_share_the_work_and_send_once_each(
    dsn: str, connection: Connection, gate: Gate, all_ended: Callable[[], Awaitable[None]]
) -> None:
    async with running_two(dsn, {"hooks": WEBHOOK | {"concurrency": 20}}):
        names = await connection.fetchval(NAMES)
        ids = [row["id"] for row in await connection.fetch(INSERT_MANY, gate.url, 200)]
        await gate.until_under_way(40)  # more than one of them may have
        gate.open()
        await all_ended()

    senders = await connection.fetch(
        "select daemon_name, count(*) from chimeway.delivery_attempts group by daemon_name"
    )
    assert names == ["twin-1", "twin-2"]
    assert sorted(gate.arrived) == sorted(ids)
    assert gate.most["all"] == 40
    assert {row["daemon_name"] for row in senders} == {"twin-1", "twin-2"}
    assert sum(row["count"] for row in senders) == 200
    await check_invariants(connection)


@needs_proc
async def test_process_that_was_killed_is_replaced_and_its_work_goes_out(
    dsn: str, connection: Connection, gate: Gate, all_ended: Callable[[], Awaitable[None]]
) -> None:
    channel = WEBHOOK | {"concurrency": 5, "timeout": "500ms", "retry": {"schedule": ["50ms"] * 50}}

    async with running_two(dsn, {"hooks": channel}, lease="5500ms") as parent:
        await connection.execute(INSERT_MANY, gate.url, 40)
        await gate.until_under_way(10)
        first, second = children_of(parent)
        os.kill(first, SIGKILL)
        *_, started = await parent.said("daemon_started", 3)
        gate.open()
        await all_ended()
        (other,) = set(children_of(parent)) & {first, second}
        stopped = await parent.stop()

    lost = await connection.fetch(
        "select distinct daemon_name from chimeway.delivery_attempts where outcome = 'lost'"
    )
    assert other == second
    assert [row["daemon_name"] for row in lost] == [started["name"]]
    assert await connection.fetchval(SUCCEEDED) == 40
    assert [f"{started['name']} ended with status 137" in line for line in parent.other_output] == [
        True
    ]
    assert stopped.exit_code == 0
    await check_invariants(connection)


@pytest.mark.parametrize("signal", [SIGTERM, SIGINT])
async def test_stop_of_the_parent_stops_all_in_order(
    dsn: str, connection: Connection, gate: Gate, signal: Signals
) -> None:
    async with running_two(dsn, {"hooks": WEBHOOK | {"concurrency": 2}}) as parent:
        await connection.execute(INSERT_MANY, gate.url, 12)
        await gate.until_under_way(4)
        # As a terminal does at Ctrl-C: to the whole group of the parent.
        os.killpg(parent.process.pid, signal)
        await parent.said("daemon_draining", 2)
        gate.open()
        stopped = await parent.ended()

    assert stopped.exit_code == 0
    assert stopped.events().count("daemon_stopped") == 2
    assert parent.other_output == []
    assert await connection.fetchval(NAMES) is None
    assert await connection.fetchval(OUTCOMES) == ["succeeded"]
    assert await connection.fetchval("select count(*) from chimeway.claims") == 0
    await check_invariants(connection)


async def test_second_signal_ends_all_at_once(dsn: str, connection: Connection, gate: Gate) -> None:
    async with running_two(dsn, {"hooks": WEBHOOK}, shutdown_grace="10m") as parent:
        await connection.execute(INSERT_MANY, gate.url, 40)
        await gate.until_under_way(20)
        parent.signal(SIGTERM)
        await parent.said("daemon_draining", 2)
        stopped = await parent.stop()

    assert stopped.exit_code == 0
    assert stopped.events().count("daemon_stopped") == 2
    await check_invariants(connection)


async def test_processes_whose_parent_was_killed_stop_in_order(
    dsn: str, connection: Connection
) -> None:
    async with running_two(dsn, {"hooks": WEBHOOK}) as parent:
        stopped = await parent.stop(SIGKILL)

    assert stopped.exit_code == -SIGKILL
    assert stopped.events().count("daemon_stopped") == 2
    assert await connection.fetchval(NAMES) is None


@needs_proc
async def test_process_that_was_stopped_alone_is_replaced(dsn: str, connection: Connection) -> None:
    async with running_two(dsn, {"hooks": WEBHOOK}) as parent:
        os.kill(children_of(parent)[1], SIGTERM)
        (ended,) = await parent.said("daemon_stopped")
        await parent.said("daemon_ready", 3)
        await eventually(lambda: connection.fetchval(NAMES), ["twin-1", "twin-2"])

    assert ended["level"] == "info"
    assert [line.partition(";")[0] for line in parent.other_output] in (
        [f"chimewayd: twin-{n} ended with status 0"] for n in (1, 2)
    )


async def test_hopeless_exit_status_ends_all_with_it_and_is_not_tried_again(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    told: list[str] = []
    hopeless = shell(f"echo once >> {runs}; exit 78")
    patient = shell("exec cat")  # until its standard input ends

    with anyio.fail_after(WAIT_SECONDS):
        exit_code = await supervise({"a": hopeless, "b": patient}, told.append)

    assert exit_code == 78
    assert runs.read_text("utf-8") == "once\n"
    assert told == []


def test_reload_does_not_end_a_process_that_does_not_heed_it_yet() -> None:
    told: list[str] = []
    heard: list[bytes] = []

    def ask() -> None:
        for said, asked in ((b"READY=1\n", SIGHUP), (b"RELOADING=1\n", SIGTERM)):
            while not any(message.startswith(said) for message in heard):
                time.sleep(LOOK_SECONDS)
            os.kill(os.getpid(), asked)

    asking = Thread(target=ask)
    asking.start()
    # In a loop like the parent's own: that of the tests lets a child inherit nothing.
    commands = {"a": shell("echo READY=1 >&0; exec cat")}
    exit_code = anyio.run(supervise, commands, told.append, Notifier(heard.append))
    asking.join()

    assert exit_code == 0
    assert told == []


async def test_process_that_fails_at_its_start_waits_longer_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "FIRST_WAIT_SECONDS", 0.001)
    asked: list[int] = []

    def wait(failures: int, share: float) -> float:
        asked.append(failures)
        return wait_before_restart(failures, share)

    monkeypatch.setattr(processes, "wait_before_restart", wait)
    runs = tmp_path / "runs"
    failing = shell(f"echo once >> {runs}; test $(wc -l < {runs}) -ge 4 && exit 78; exit 1")

    with anyio.fail_after(WAIT_SECONDS):
        exit_code = await supervise({"a": failing}, lambda _: None)

    assert exit_code == 78
    assert asked == [1, 2, 3]


async def test_command_that_cannot_be_started_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "FIRST_WAIT_SECONDS", 0.001)
    program = tmp_path / "program"
    told: list[str] = []

    def install(said: str) -> None:
        told.append(said)
        program.write_text("#!/bin/sh\nexit 78\n", "utf-8")
        program.chmod(0o755)

    with anyio.fail_after(WAIT_SECONDS):
        exit_code = await supervise({"a": [str(program)]}, install)

    assert exit_code == 78
    assert told[0] == f"cannot start {program}: No such file or directory"


def test_wait_before_restart_doubles_up_to_a_cap() -> None:
    waits = [wait_before_restart(failures, 1.0) for failures in (1, 2, 3, 7, 5000)]

    assert waits == [0.5, 1.0, 2.0, LONGEST_WAIT_SECONDS, LONGEST_WAIT_SECONDS]


def test_wait_before_restart_is_shorter_by_up_to_half_at_random() -> None:
    assert wait_before_restart(1, 0.0) == 0.25


def test_worst_exit_status_is_the_highest_and_being_asked_to_stop_is_none() -> None:
    assert worst([0, 0]) == 0
    assert worst([-SIGTERM, 0]) == 0
    assert worst([0, 1, 0]) == 1
    assert worst([1, -SIGKILL]) == 137


def shell(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


async def test_each_process_answers_at_an_address_of_its_own_and_signs_its_lines(
    dsn: str, tmp_path: Path
) -> None:
    async with running_two(
        dsn, {"sink": {"adapter": "sink"}}, http_listen=f"unix:{tmp_path}/http"
    ) as parent:
        await parent.said("http_listening", 2)
        answers = [await ask(f"unix:{tmp_path}/http-{n}", "/status") for n in (1, 2)]
        stopped = await parent.stop()

    assert [json.loads(answer.text)["name"] for answer in answers] == ["twin-1", "twin-2"]
    ready = [line["instance"] for line in stopped.lines if line["event"] == "daemon_ready"]
    assert sorted(ready) == ["twin-1", "twin-2"]
