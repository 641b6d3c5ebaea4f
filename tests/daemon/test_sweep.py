"""The sweep: what nobody claims ends all the same, however long nobody looked."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

import anyio
import asyncpg
import pytest
from engine import Connection, insert, look
from frozen_clock import START

from chimewayd import db, sweep
from chimewayd.leases import Leases
from chimewayd.outage import Outage
from chimewayd.session import Session

pytestmark = pytest.mark.anyio

CLOCK = """
create table chimeway.test_clock (now timestamptz not null);
insert into chimeway.test_clock values ('2030-01-01Z');
grant select on chimeway.test_clock to public;
create or replace function chimeway.clock()
returns timestamptz
language sql
volatile
as $$ select t.now from chimeway.test_clock as t $$
"""
WITHIN_SECONDS = 20


@asynccontextmanager
async def sweeping(dsn: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Connection]:
    """Sweep without a rest by a clock that stands at START; enter when the first sweep is over."""
    monkeypatch.setattr(sweep, "SWEEP_SECONDS", 0.01)
    monkeypatch.setattr(sweep, "NAME_RETRY_SECONDS", 0.01)
    connection = await asyncpg.connect(dsn)
    await connection.execute(CLOCK)
    await set_clock(connection, timedelta())
    me = db.Identity(1, "d1", "1", ("mail",), timedelta(minutes=1))
    async with Session(dsn, "upkeep") as session, anyio.create_task_group() as tasks:
        tasks.start_soon(sweep.sweep, session, me, Leases(60.0), Outage())
        await end(connection, await wait(connection, timedelta()))
        yield connection
        tasks.cancel_scope.cancel()
    await connection.close()


async def set_clock(connection: Connection, since_start: timedelta) -> None:
    await connection.execute("update chimeway.test_clock set now = $1", START + since_start)


async def wait(connection: Connection, expires_after: timedelta) -> UUID:
    """Insert a delivery that nobody serves."""
    return await insert(connection, channel="unserved", expires_at=START + expires_after)


async def end(connection: Connection, delivery_id: UUID) -> None:
    """Wait until it has expired."""
    with anyio.fail_after(WITHIN_SECONDS):
        while (await look(connection, delivery_id))["suppression_reason"] != "expired":
            await anyio.lowlevel.checkpoint()


async def test_what_expired_while_nobody_looked_ends(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An outage of hours and a clock that is set ahead look alike: the clock makes a step."""
    async with sweeping(dsn, monkeypatch) as connection:
        delivery_id = await wait(connection, timedelta(hours=1))

        await set_clock(connection, timedelta(hours=2))

        await end(connection, delivery_id)


async def test_clock_that_is_set_back_keeps_nothing_from_its_end(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sweeping(dsn, monkeypatch) as connection:
        await set_clock(connection, timedelta(hours=-2))

        await end(connection, await wait(connection, timedelta(hours=-2)))
