"""What the real daemon tells a service manager, from its start to its end."""

import json
import os
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from signal import SIGABRT, SIGHUP, SIGSTOP
from typing import Any

import anyio
import pytest
import running as running_module
from commands import COMMAND, clean_environment
from engine import Connection, insert
from gated import Gate
from notify_socket import ServiceManager, service_manager
from running import WEBHOOK, Daemon, running

pytestmark = pytest.mark.anyio

SINK = {"adapter": "sink"}
BLOCKING = """
import time
from chimewayd.adapters.base import AdapterSettings, HoldsNothing

class Blocking(HoldsNothing):
    Settings = AdapterSettings

    def __init__(self, settings, timeout):
        pass

    async def deliver(self, delivery):
        print("blocked", flush=True)
        time.sleep(3600)
"""
CHILDREN_OF = "/proc/{0}/task/{0}/children"
needs_proc = pytest.mark.skipif(
    not Path(CHILDREN_OF.format(os.getpid())).exists(), reason="children are found in Linux's /proc"
)


@pytest.fixture
async def manager(tmp_path: Path) -> AsyncIterator[ServiceManager]:
    """A service manager that listens."""
    async with service_manager(tmp_path) as listening:
        yield listening


@pytest.fixture
def blocking(tmp_path: Path) -> Mapping[str, str]:
    """The environment of a daemon with an adapter that lets nobody else run."""
    (tmp_path / "blocking.py").write_text(BLOCKING)
    distribution = tmp_path / "blocking-1.0.dist-info"
    distribution.mkdir()
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: blocking\nVersion: 1.0\n")
    (distribution / "entry_points.txt").write_text(
        "[chimewayd.adapters]\nblocking = blocking:Blocking\n"
    )
    return {"PYTHONPATH": str(tmp_path)}


def watched(manager: ServiceManager, seconds: float) -> dict[str, str]:
    return manager.environment | {"WATCHDOG_USEC": str(int(seconds * 1e6))}


async def test_daemon_says_ready_a_status_and_stopping_in_this_order(
    dsn: str, manager: ServiceManager
) -> None:
    async with running(dsn, {"bin": SINK}, manager.environment, shutdown_grace="3s") as daemon:
        await manager.heard("STATUS=serving 1 channel: 0 calls under way")
        await daemon.stop()

    told = [line.partition("=")[0] for line in manager.said]
    assert told[0] == "READY"
    assert told[-2:] == ["STOPPING", "EXTEND_TIMEOUT_USEC"]
    assert "EXTEND_TIMEOUT_USEC=18000000" in manager.said


async def test_daemon_is_not_ready_before_its_listener_is_subscribed(
    dsn: str, connection: Connection, manager: ServiceManager
) -> None:
    unreachable = "postgresql://127.0.0.1:1/nowhere"
    given = {"CHIMEWAYD_DSN": dsn, "CHIMEWAYD_LISTEN_DSN": unreachable}
    given |= {"CHIMEWAYD_CHANNELS__BIN__ADAPTER": "sink", "CHIMEWAYD_LOG_FORMAT": "json"}
    delivery_id = await insert(connection, channel="bin")

    async with started(given | manager.environment) as daemon:
        await daemon.said("attempt_recorded", delivery_id=str(delivery_id))
        await daemon.stop()

    assert manager.times("READY=1") == 0


async def test_daemon_without_its_schema_is_never_ready(
    empty_dsn: str, manager: ServiceManager
) -> None:
    given = {"CHIMEWAYD_DSN": empty_dsn, "CHIMEWAYD_CHANNELS__BIN__ADAPTER": "sink"}

    async with started(given | manager.environment) as daemon:
        stopped = await daemon.ended()

    assert stopped.exit_code == 75
    assert manager.said == []


async def test_daemon_speaks_to_a_manager_in_the_abstract_namespace(
    dsn: str, tmp_path: Path
) -> None:
    async with (
        service_manager(tmp_path, is_abstract=True) as manager,
        running(dsn, {"bin": SINK}, manager.environment),
    ):
        await manager.heard("READY=1")


async def test_status_has_live_figures(
    dsn: str, connection: Connection, gate: Gate, manager: ServiceManager
) -> None:
    async with running(dsn, {"hooks": WEBHOOK}, manager.environment):
        for _ in range(3):
            await insert(connection, channel="hooks", recipient=gate.url)
        await gate.until_under_way(3)
        await manager.heard("STATUS=serving 1 channel: 3 calls under way, 3 deliveries in hand")
        gate.open()
        await manager.heard("STATUS=serving 1 channel: 0 calls under way, 0 deliveries in hand, 3")


async def test_reload_is_announced_with_its_time_and_ends_with_ready(
    dsn: str, manager: ServiceManager
) -> None:
    async with running(dsn, {"bin": SINK}, manager.environment) as daemon:
        daemon.signal(SIGHUP)
        await manager.heard("READY=1", 2)

    reloading = next(m for m in manager.messages if "RELOADING=1" in m)
    assert reloading[1].startswith("MONOTONIC_USEC=")
    ready = [n for n, message in enumerate(manager.messages) if "READY=1" in message]
    assert ready[0] < manager.messages.index(reloading) < ready[1]


async def test_refused_reload_ends_with_ready_and_the_status_says_so(
    dsn: str, manager: ServiceManager, tmp_path: Path
) -> None:
    file = tmp_path / "config.toml"
    file.write_text("# nothing yet\n", "utf-8")
    environment = manager.environment | {"CHIMEWAYD_CONFIG": str(file)}

    async with running(dsn, {"bin": SINK}, environment) as daemon:
        file.write_text("concurency = 5\n", "utf-8")
        daemon.signal(SIGHUP)
        await daemon.said("config_refused")
        await manager.heard("READY=1", 2)
        await manager.heard("STATUS=", 2)

    assert "THE LAST RELOAD WAS REFUSED" in manager.statuses()[-1]


async def test_watchdog_is_fed_while_the_daemon_turns(dsn: str, manager: ServiceManager) -> None:
    async with running(dsn, {"bin": SINK}, watched(manager, 0.3)):
        await manager.heard("WATCHDOG=1", 5)


async def test_watchdog_of_somebody_else_is_not_fed_faster(
    dsn: str, manager: ServiceManager
) -> None:
    environment = watched(manager, 0.03) | {"WATCHDOG_PID": "1"}

    async with running(dsn, {"bin": SINK}, environment):
        await manager.heard("STATUS=")
        await anyio.sleep(0.5)  # a dozen of its intervals

    assert manager.times("WATCHDOG=1") <= 2


async def test_watchdog_is_not_fed_while_an_adapter_blocks_the_loop(
    dsn: str, connection: Connection, manager: ServiceManager, blocking: Mapping[str, str]
) -> None:
    environment = watched(manager, 0.3) | dict(blocking)

    async with running(dsn, {"wall": {"adapter": "blocking"}}, environment) as daemon:
        await manager.heard("WATCHDOG=1", 2)
        await insert(connection, channel="wall")
        await daemon.printed("blocked")
        await anyio.lowlevel.checkpoint()
        fed = manager.times("WATCHDOG=1")
        await anyio.sleep(1.5)  # five of its intervals
        after = manager.times("WATCHDOG=1")
        # What a manager does then; the trace says where it stood.
        stopped = await daemon.stop(SIGABRT)

    assert after <= fed + 1
    assert stopped.exit_code == -SIGABRT
    assert any("blocking.py" in line and "deliver" in line for line in daemon.other_output)


@pytest.mark.long
async def test_watchdog_is_withheld_when_a_stage_hangs_although_the_loop_turns(
    dsn: str, connection: Connection, manager: ServiceManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_module, "WAIT_SECONDS", 50.0)
    await is_for_tests(connection)
    environment = watched(manager, 0.9) | {"CHIMEWAYD_FAILPOINTS": "before_record=hang"}

    async with running(
        dsn, {"bin": SINK}, environment, poll_interval="100ms", shutdown_grace="0s"
    ) as daemon:
        await insert(connection, channel="bin")
        (stalled,) = await daemon.said("stage_stalled")
        fed = manager.times("WATCHDOG=1")
        await manager.heard("STATUS=standing still (record)")

    assert fed > 30
    assert manager.times("WATCHDOG=1") <= fed + 1
    assert stalled["stages"] == ["record"]


@needs_proc
async def test_parent_of_several_speaks_for_them_and_they_speak_to_it_alone(
    dsn: str, manager: ServiceManager
) -> None:
    given = settings(dsn, {"bin": SINK})

    async with started(given | watched(manager, 3), "--processes", "2") as parent:
        await manager.heard("READY=1")
        assert len(parent.of("daemon_ready")) == 2
        await manager.heard("STATUS=2 of 2 daemons serve: 0 calls under way")
        fed = manager.times("WATCHDOG=1")
        await manager.heard("WATCHDOG=1", fed + 2)
        parent.signal(SIGHUP)
        await manager.heard("READY=1", 2)
        reloaded = len(parent.of("config_reloaded"))
        await parent.stop()

    assert reloaded == 2
    assert manager.times("RELOADING=1") == 1
    assert manager.times("READY=1") == 2
    assert manager.times("STOPPING=1") == 1
    assert manager.times("X_") == 0


@needs_proc
async def test_parent_replaces_a_daemon_that_stands_still_and_goes_on_feeding_the_watchdog(
    dsn: str, manager: ServiceManager
) -> None:
    given = settings(dsn, {"bin": SINK})

    async with started(given | watched(manager, 1.5), "--processes", "2") as parent:
        await manager.heard("STATUS=2 of 2")
        os.kill(first_child(parent), SIGSTOP)
        await parent.said("daemon_ready", 3)
        fed = manager.times("WATCHDOG=1")
        await manager.heard("WATCHDOG=1", fed + 1)
        await parent.stop()

    assert any("stands still; it is ended" in line for line in parent.other_output)
    assert manager.times("READY=1") == 1


def first_child(parent: Daemon) -> int:
    return int(Path(CHILDREN_OF.format(parent.process.pid)).read_text("utf-8").split()[0])


def settings(dsn: str, channels: Mapping[str, Any]) -> dict[str, str]:
    return {
        "CHIMEWAYD_DSN": dsn,
        "CHIMEWAYD_CHANNELS": json.dumps(channels),
        "CHIMEWAYD_LOG_FORMAT": "json",
        "CHIMEWAYD_NAME": "twin",
    }


async def is_for_tests(connection: Connection) -> None:
    name = await connection.fetchval("select current_database()")
    await connection.execute(f"alter database \"{name}\" set chimeway.is_test = 'on'")


@asynccontextmanager
async def started(environment: Mapping[str, str], *options: str) -> AsyncIterator[Daemon]:
    """Run a process that need not become ready."""
    process = await anyio.open_process(
        [str(COMMAND), "run", *options],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        env=clean_environment() | dict(environment),
    )
    daemon = Daemon(process)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(daemon.read)
            yield daemon
            tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                process.kill()
            await process.aclose()
