"""Producers: single-row transactions by pgbench, with our trigger and without."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path
from typing import assert_never

from bench import cluster, processes
from bench.chimewayd_engine import CHANNEL, SINK, daemon
from bench.environments import inherited
from bench.rows.ceiling import tps
from bench.run import Run

ROW = "inserts"
THREADS = 2
SPARE_SECONDS = 30.0
SCRIPT = f"""
insert into chimeway.deliveries (channel, recipient, payload)
values ('{CHANNEL}', 'user@example.org', '{{"subject": "Hello", "text": "{"x" * 240}"}}');
"""  # noqa: S608 - a name of ours


class Setting(StrEnum):
    """Who is there while the producers insert."""

    NO_TRIGGER = "no trigger"
    NOBODY = "trigger, no daemon"
    LISTENER = "trigger, a listener that arms the bell at once"
    """The doorbell at its worst, without the work of delivering on the same cores."""
    DAEMON = "trigger, a daemon that delivers"


async def measure(run: Run) -> None:
    """Insert for a while with each number of clients in each setting."""
    program = cluster.pgbench()
    if program is None:
        run.figures.miss(ROW, "all", "pgbench was not found")
        return
    for clients in run.scale.insert_clients:
        for setting in Setting:
            rate = await _rate(run, program, clients, setting)
            run.figures.add(ROW, _name(clients, setting), "inserts/s", rate)
        for setting in (Setting.NOBODY, Setting.LISTENER, Setting.DAEMON):
            run.figures.add_ratio(
                ROW,
                f"{_name(clients, setting)}, against none",
                (ROW, _name(clients, setting)),
                (ROW, _name(clients, Setting.NO_TRIGGER)),
            )


def _name(clients: int, setting: Setting) -> str:
    return f"{clients} client{'s' if clients > 1 else ''}, {setting}"


async def _rate(run: Run, program: Path, clients: int, setting: Setting) -> float:
    script = run.directory / "insert.sql"
    script.write_text(SCRIPT)
    seconds = run.scale.insert_seconds
    options = ["-n", "-M", "prepared", "-c", f"{clients}", "-j", f"{min(clients, THREADS)}"]
    async with run.database(run.ours, 0) as dsn, _company(run, dsn, setting):
        argv = [f"{program}", *options, "-T", f"{seconds}", "-f", f"{script}", dsn]
        return tps(await processes.run(argv, inherited(), seconds + SPARE_SECONDS))


@asynccontextmanager
async def _company(run: Run, dsn: str, setting: Setting) -> AsyncIterator[None]:
    match setting:
        case Setting.NO_TRIGGER:
            async with cluster.connected(dsn) as connection:
                await connection.execute("alter table chimeway.deliveries disable trigger user")
            yield
        case Setting.NOBODY:
            yield
        case Setting.LISTENER:
            async with _listener(dsn):
                yield
        case Setting.DAEMON:
            async with daemon(dsn, {CHANNEL: SINK}, run.log):
                yield
        case _:
            assert_never(setting)


@asynccontextmanager
async def _listener(dsn: str) -> AsyncIterator[None]:
    """Listen, and fall asleep again at once after each ring."""
    rung = asyncio.Event()
    rung.set()

    def ring(*_: object) -> None:
        rung.set()

    async def arm(connection: cluster.Connection) -> None:
        while True:
            await rung.wait()
            rung.clear()
            await connection.execute("select nextval('chimeway.bell_armed')")

    async with cluster.connected(dsn) as connection, asyncio.TaskGroup() as tasks:
        await connection.add_listener("chimeway_jobs", ring)
        arming = tasks.create_task(arm(connection))
        yield
        arming.cancel()
