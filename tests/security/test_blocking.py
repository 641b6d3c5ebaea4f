"""An adapter that lets nobody else run is told, and its delivery ends all the same."""

from collections.abc import Mapping
from pathlib import Path

import engine
import pytest
import running

pytestmark = pytest.mark.anyio

BLOCKING = """
import time
from chimewayd.adapters.base import AdapterSettings, HoldsNothing
from chimewayd.models import Succeeded

class Blocking(HoldsNothing):
    Settings = AdapterSettings

    def __init__(self, settings, timeout):
        pass

    async def deliver(self, delivery):
        time.sleep(4)
        return Succeeded()
"""


@pytest.fixture
def plug_in(tmp_path: Path) -> Mapping[str, str]:
    """The environment of a daemon that has the plug-in installed."""
    (tmp_path / "blocking.py").write_text(BLOCKING)
    distribution = tmp_path / "blocking-1.0.dist-info"
    distribution.mkdir()
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: blocking\nVersion: 1.0\n")
    (distribution / "entry_points.txt").write_text(
        "[chimewayd.adapters]\nblocking = blocking:Blocking\n"
    )
    return {"PYTHONPATH": str(tmp_path)}


async def test_call_that_blocks_is_told_by_name_and_ends_127(
    dsn: str, connection: engine.Connection, plug_in: Mapping[str, str]
) -> None:
    channels = {"wall": {"adapter": "blocking", "timeout": "1s"}, "bin": {"adapter": "sink"}}
    async with running.running(dsn, channels, plug_in) as daemon:
        await engine.insert(connection, channel="wall")
        (blocked,) = await daemon.said("loop_blocked", level="warning")
        await engine.insert(connection, channel="bin")
        await daemon.said("attempt_recorded", channel="wall")
        await daemon.said("attempt_recorded", channel="bin", outcome="succeeded")
        stopped = await daemon.stop()

    assert blocked["seconds"] > 2
    assert stopped.exit_code == 0
    await engine.check_invariants(connection)
