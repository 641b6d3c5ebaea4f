"""An adapter of somebody else that will not be cut: it costs its own call and no more."""

from collections.abc import Mapping
from pathlib import Path
from signal import SIGTERM
from typing import Any

import pytest
from engine import Connection, attempts_of, check_invariants, insert, look
from running import running

pytestmark = pytest.mark.anyio

PLUG_IN = """
import asyncio
import time
import anyio.to_thread
from chimewayd.adapters.base import AdapterSettings, HoldsNothing

class Stubborn(HoldsNothing):
    Settings = AdapterSettings

    def __init__(self, settings, timeout):
        pass

    async def deliver(self, delivery):
        print("called", flush=True)
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                pass

class Silent(Stubborn):
    async def deliver(self, delivery):
        print("called", flush=True)
        await anyio.to_thread.run_sync(time.sleep, 3600, abandon_on_cancel=True)
"""
ENTRY_POINT = "[chimewayd.adapters]\nstubborn = stubborn:Stubborn\nsilent = stubborn:Silent\n"
STUBBORN = {"adapter": "stubborn", "timeout": "100ms", "retry": {"schedule": ["1h"]}}


@pytest.fixture
def plug_in(tmp_path: Path) -> Mapping[str, str]:
    """The environment of a daemon that has the plug-in installed."""
    (tmp_path / "stubborn.py").write_text(PLUG_IN)
    distribution = tmp_path / "stubborn-1.0.dist-info"
    distribution.mkdir()
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: stubborn\nVersion: 1.0\n")
    (distribution / "entry_points.txt").write_text(ENTRY_POINT)
    return {"PYTHONPATH": str(tmp_path)}


async def test_daemon_stops_although_a_call_will_not_be_cut(
    dsn: str, connection: Connection, plug_in: Mapping[str, str]
) -> None:
    delivery_id = await insert(connection, channel="wall")

    async with running(dsn, {"wall": STUBBORN}, plug_in, shutdown_grace="0s") as daemon:
        await daemon.printed("called")
        stopped = await daemon.stop(SIGTERM)

    (attempt,) = await attempts_of(connection, delivery_id)
    assert stopped.exit_code == 1
    assert stopped.lines[-1]["event"] == "daemon_stopped"
    assert stopped.lines[-1]["abandoned_calls"] == 1
    assert (attempt["outcome"], attempt["error_class"]) == ("failed", "uncertain")
    assert (await look(connection, delivery_id))["status"] == "failed"
    await check_invariants(connection)


async def test_daemon_ends_although_a_thread_of_a_call_goes_on(
    dsn: str, connection: Connection, plug_in: Mapping[str, str]
) -> None:
    """As that of a look-up does which no name server answers."""
    await insert(connection, channel="wall")

    silent = STUBBORN | {"adapter": "silent"}
    async with running(dsn, {"wall": silent}, plug_in, shutdown_grace="0s") as daemon:
        await daemon.printed("called")
        stopped = await daemon.stop(SIGTERM)

    assert stopped.exit_code == 0
    assert stopped.lines[-1]["event"] == "daemon_stopped"


async def test_daemon_with_too_many_abandoned_calls_stops_by_itself(
    dsn: str, connection: Connection, plug_in: Mapping[str, str]
) -> None:
    for _ in range(5):
        await insert(connection, channel="wall")

    async with running(dsn, {"wall": STUBBORN}, plug_in) as daemon:
        stopped = await daemon.ended()

    assert stopped.exit_code == 1
    assert stopped.events().count("adapter_abandoned") == 5
    assert await connection.fetchval("select count(*) from chimeway.claims") == 0
    await check_invariants(connection)


async def test_second_signal_ends_a_daemon_whose_call_will_not_be_cut(
    dsn: str, connection: Connection, plug_in: Mapping[str, str]
) -> None:
    await insert(connection, channel="wall")
    patient = STUBBORN | {"timeout": "40s"}

    async with running(dsn, {"wall": patient}, plug_in, shutdown_grace="10m") as daemon:
        await daemon.printed("called")
        daemon.signal(SIGTERM)
        await daemon.said("daemon_draining")
        stopped = await daemon.stop(SIGTERM)

    assert stopped.exit_code == 1
    assert stopped.lines[-1]["event"] == "daemon_stopped"
    await check_invariants(connection)


async def test_daemon_that_fails_ends_although_a_call_will_not_be_cut(
    dsn: str, connection: Connection, plug_in: Mapping[str, str]
) -> None:
    name = await connection.fetchval("select current_database()")
    await connection.execute(f"alter database \"{name}\" set chimeway.is_test = 'on'")
    await insert(connection, channel="wall")
    patient: Mapping[str, Any] = STUBBORN | {"timeout": "40s"}
    channels = {"wall": patient, "sink": {"adapter": "sink"}}

    environment = {**plug_in, "CHIMEWAYD_FAILPOINTS": "before_record=raise"}
    async with running(dsn, channels, environment) as daemon:
        await daemon.printed("called")
        await insert(connection, channel="sink")
        stopped = await daemon.ended()

    assert stopped.exit_code == 1
    assert "daemon_failed" in stopped.events()
    await check_invariants(connection)
