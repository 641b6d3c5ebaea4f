"""Ours: the installed `chimewayd run` as a process of its own, logging JSON to a file."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import asyncpg

from bench import processes
from bench.cluster import connected
from bench.engines import START_SECONDS, Drained, Load
from bench.environments import inherited
from bench.processes import Child, ChildError
from bench.recorded import Recorded
from chimewayd import __version__, db, migrate
from chimewayd.config_channel import ChannelConfig
from chimewayd.session import Session

CHANNEL = "bench"
SINK: Mapping[str, Any] = {"adapter": "sink"}
SLOTS = 1000
READY_LOOK_SECONDS = 0.02
HEAD_BYTES = 20_000
LOG_TAIL_CHARACTERS = 1000

INSERT = f"""
insert into chimeway.deliveries (channel, recipient, payload)
select '{CHANNEL}', 'user' || n || '@example.org',
  jsonb_build_object('subject', 'Hello', 'text', repeat('x', 240))
from generate_series(1, $1::integer) as n
"""  # noqa: S608 - a name of ours
DONE = "select coalesce(sum(count), 0)::bigint from chimeway.tallies where status = 'succeeded'"
SPAN = """
select extract(epoch from max(finished_at) - min(started_at))::float8
from chimeway.delivery_attempts
"""
FIRST_AND_DONE = """
select extract(epoch from min(started_at))::float8, count(*) from chimeway.delivery_attempts
"""


class Chimewayd:
    """chimewayd, with full history."""

    name = "chimewayd"
    version = __version__
    setting = (
        f"concurrency {SLOTS} and as many prefetched, one process, log of JSON lines to a file"
    )
    share = 1.0

    async def fill(self, dsn: str, count: int) -> None:
        await install(dsn)
        async with connected(dsn) as connection:
            await connection.execute(INSERT.replace("$1", f"{count}"))

    @asynccontextmanager
    async def running(self, dsn: str, load: Load, log: Path) -> AsyncIterator[Child]:
        channel = {**SINK, "settings": {"delay": f"{load.delay_ms:g}ms"}}
        async with daemon(dsn, {CHANNEL: channel}, log, load.slots or SLOTS) as child:
            yield child

    async def drained(self, child: Child, dsn: str, load: Load, seconds: float) -> Drained:
        with closing(Recorded(child.log)) as recorded:
            if not await recorded.until(1, child, time.time() + START_SECONDS):
                raise ChildError("chimewayd recorded nothing")
            await recorded.until(load.count, child, recorded.last_at + seconds)
            count, last = recorded.count, recorded.last_at
        async with connected(dsn) as connection:
            first, done = await connection.fetchrow(FIRST_AND_DONE) or (0.0, 0)
        if count > done:
            raise ChildError(f"the log tells of {count} attempts, the database of {done}")
        return Drained(first, last, count)


async def install(dsn: str) -> None:
    """Bring an empty database to this release, with the channel configured."""
    connection = await asyncpg.connect(dsn)
    try:
        await migrate.apply(connection)
    finally:
        await connection.close()
    async with Session(dsn, "bench") as session:
        await db.configure_channel(session, CHANNEL, ChannelConfig.model_validate(SINK))


@asynccontextmanager
async def daemon(
    dsn: str,
    channels: Mapping[str, Mapping[str, Any]],
    log: Path,
    slots: int | None = SLOTS,
    name: str = "bench",
) -> AsyncIterator[Child]:
    """Run a daemon; it is ready when the block begins. `slots` None: concurrency by default.

    Raises:
        ChildError: it ended, or was not ready in time.
    """
    if slots is not None:
        channels = {name: {**channel, "concurrency": slots} for name, channel in channels.items()}
    config = log.with_name("config.toml")  # not the one that this machine may have
    settings = {
        "CHIMEWAYD_DSN": dsn,
        "CHIMEWAYD_NAME": name,
        "CHIMEWAYD_LOG_FORMAT": "json",
        "CHIMEWAYD_CHANNELS": json.dumps(channels),
        "CHIMEWAYD_CONFIG": f"{config}",
    }
    if slots is not None:
        settings["CHIMEWAYD_CONCURRENCY"] = f"{slots}"
    log.write_bytes(b"")  # noqa: ASYNC240 - nothing else is to run meanwhile
    config.write_text("# defaults\n")
    argv = [sys.executable, "-m", "chimewayd", "run"]
    async with processes.child(argv, inherited() | settings, log) as child:
        try:
            await _until_ready(child, log)
            yield child
        except Exception:
            # It may name hosts and paths: for whoever runs this, and not for the report.
            sys.stderr.write(log.read_text()[-LOG_TAIL_CHARACTERS:])  # noqa: ASYNC240 - as above
            raise


async def _until_ready(child: Child, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while b'"daemon_ready"' not in log.read_bytes()[:HEAD_BYTES]:  # noqa: ASYNC240 - as above
        _check(child)
        if time.monotonic() > deadline:
            raise ChildError(f"chimewayd was not ready within {START_SECONDS:g} s")
        await asyncio.sleep(READY_LOOK_SECONDS)


def _check(child: Child) -> None:
    if child.has_ended:
        raise ChildError("chimewayd ended; its log says why")
