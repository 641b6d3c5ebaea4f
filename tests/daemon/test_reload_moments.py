"""SIGHUP before the daemon is ready, and while it ends."""

import os
import subprocess
from contextlib import suppress
from pathlib import Path
from signal import SIGHUP, SIGTERM

import anyio
import pytest
from commands import COMMAND, clean_environment
from engine import Connection
from running import Daemon, eventually, running

from chimewayd import migrate

pytestmark = pytest.mark.anyio

BIN = '[channels.bin]\nadapter = "sink"\n'
NEW = '[channels.new]\nadapter = "sink"\n'
WAITING_TO_MIGRATE = """
select count(*) from pg_stat_activity
where application_name = 'chimewayd/command' and datname = current_database()
"""
SLOW_TO_LEAVE = """
import pathlib
import anyio
from chimewayd.adapters.base import AdapterSettings
from chimewayd.models import Succeeded

class Slow:
    Settings = AdapterSettings

    def __init__(self, settings, timeout):
        pass

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        print("leaving", flush=True)
        while not pathlib.Path("{go_on}").exists():
            await anyio.sleep(0.02)

    async def deliver(self, delivery):
        return Succeeded()
"""


async def test_reload_that_is_asked_for_during_the_start_is_made_after_it(
    dsn: str, connection: Connection, tmp_path: Path
) -> None:
    file = tmp_path / "config.toml"
    file.write_text(BIN, "utf-8")
    await connection.execute("select pg_advisory_lock($1)", migrate.LOCK)
    process = await anyio.open_process(
        [str(COMMAND), "--dsn", dsn, "--config", str(file), "run", "--migrate"],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        env=clean_environment() | {"CHIMEWAYD_LOG_FORMAT": "json"},
    )
    daemon = Daemon(process)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(daemon.read)
            await eventually(lambda: connection.fetchval(WAITING_TO_MIGRATE), 1)
            file.write_text(BIN + NEW, "utf-8")
            daemon.signal(SIGHUP)
            await connection.execute("select pg_advisory_unlock($1)", migrate.LOCK)
            (reloaded,) = await daemon.said("config_reloaded")
            stopped = await daemon.stop()
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                process.kill()
            await process.aclose()

    assert reloaded["added"] == ["new"]
    assert stopped.exit_code == 0


async def test_reload_does_not_end_a_daemon_that_is_leaving(dsn: str, tmp_path: Path) -> None:
    go_on = tmp_path / "go-on"
    plug_in = _slow_to_leave(tmp_path, go_on)

    async with running(dsn, {"slow": {"adapter": "slow"}}, plug_in) as daemon:
        daemon.signal(SIGTERM)
        await daemon.printed("leaving")
        daemon.signal(SIGHUP)
        go_on.touch()
        stopped = await daemon.ended()

    assert stopped.exit_code == 0
    assert stopped.events()[-1] == "daemon_stopped"


async def test_configuration_that_cannot_be_read_to_its_end_does_not_hold_up_a_stop(
    dsn: str, tmp_path: Path
) -> None:
    """The daemon went on, half of it stopped, until it was killed."""
    file = tmp_path / "config.toml"
    file.write_text(BIN, "utf-8")
    async with running(dsn, {}, {"CHIMEWAYD_CONFIG": str(file)}) as daemon:
        file.unlink()
        os.mkfifo(file)
        daemon.signal(SIGHUP)
        writer = await _opened_for_somebody(file)
        stopped = await daemon.stop()
    os.close(writer)

    assert stopped.exit_code == 0
    assert stopped.events()[-1] == "daemon_stopped"


async def test_adapter_that_was_opened_for_nothing_is_left(
    dsn: str, connection: Connection, tmp_path: Path
) -> None:
    """What it held stayed open until the daemon ended, and each further reload added to it."""
    file, go_on = tmp_path / "config.toml", tmp_path / "go-on"
    file.write_text(BIN, "utf-8")
    environment = _slow_to_leave(tmp_path, go_on) | {"CHIMEWAYD_CONFIG": str(file)}
    async with running(dsn, {}, environment) as daemon:
        await connection.execute("alter function chimeway.configure_channel rename to not_there")
        file.write_text(BIN + '[channels.slow]\nadapter = "slow"\n', "utf-8")
        daemon.signal(SIGHUP)
        await daemon.said("config_refused")
        await daemon.printed("leaving")
        go_on.touch()


def _slow_to_leave(folder: Path, go_on: Path) -> dict[str, str]:
    """Install an adapter that is left when `go_on` is there; return a daemon's environment."""
    (folder / "slow.py").write_text(SLOW_TO_LEAVE.format(go_on=go_on), "utf-8")
    distribution = folder / "slow-1.0.dist-info"
    distribution.mkdir()
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: slow\nVersion: 1.0\n")
    (distribution / "entry_points.txt").write_text("[chimewayd.adapters]\nslow = slow:Slow\n")
    return {"PYTHONPATH": str(folder)}


async def _opened_for_somebody(fifo: Path) -> int:
    """Open it for writing, as soon as somebody reads from it."""
    with anyio.fail_after(20):
        while True:
            with suppress(OSError):
                return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
            await anyio.sleep(0.01)
