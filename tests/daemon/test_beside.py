"""Two sessions that claim, and two that record: whole batches only, and nothing twice."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import anyio
import pytest
from anyio.streams.memory import MemoryObjectReceiveStream
from deliveries import PLENTY
from engine import Connection, check_invariants, insert, operate

from chimewayd import db
from chimewayd.breakers import Breakers
from chimewayd.claim import Intake, claim, claim_beside
from chimewayd.config_channel import BreakerPolicy, ChannelConfig
from chimewayd.leases import Leases
from chimewayd.listen import Bell
from chimewayd.models import Delivery, Report, Succeeded
from chimewayd.outage import Outage
from chimewayd.outbox import Outbox
from chimewayd.record import Desk, record, record_beside
from chimewayd.session import Session
from chimewayd.slots import CLAIM_LIMIT, Slots

pytestmark = pytest.mark.anyio

INSERT = """
insert into chimeway.deliveries (channel, recipient, payload)
select 'email', 'ada@example.org', '{}' from generate_series(1, $1::integer)
"""
WAITING = "select count(*) from chimeway.jobs"
LEASES = "select count(*) from chimeway.claims"
ROOM = 10 * CLAIM_LIMIT


@asynccontextmanager
async def intake(
    session: Session, slots: Slots
) -> AsyncIterator[tuple[Intake, MemoryObjectReceiveStream[list[Delivery]]]]:
    """What claiming works with, and where what was claimed comes out."""
    await db.configure_channel(session, "email", ChannelConfig(adapter="sink"))
    daemon_id = await db.register_daemon(session, "d1", "1", ["email"])
    me = db.Identity(daemon_id, "d1", "1", ("email",), timedelta(seconds=60))
    into, out = anyio.create_memory_object_stream[list[Delivery]](math.inf)
    with into, out:
        taking = Intake(
            *(me, slots, Leases(60), Bell(), Outage(), into),
            lambda: timedelta(seconds=60),
            lambda: None,
        )
        yield taking, out


async def test_whole_batches_are_claimed_beside_and_the_rest_is_left(
    dsn: str, connection: Connection
) -> None:
    async with Session(dsn, "claims-2") as session:
        slots = Slots(ROOM, {"email": ROOM}, PLENTY)
        async with intake(session, slots) as (taking, out), anyio.create_task_group() as tasks:
            await connection.execute(INSERT, 2 * CLAIM_LIMIT + 1)
            tasks.start_soon(claim_beside, taking, session)
            await anyio.wait_all_tasks_blocked()
            assert slots.in_hand == 0

            taking.flood.set()
            with anyio.fail_after(30):
                sizes = [len(await out.receive()) for _ in range(3)]
            await connection.execute(INSERT, 1)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()

    assert sizes == [CLAIM_LIMIT, CLAIM_LIMIT, 1]
    assert await connection.fetchval(WAITING) == 1


async def test_nothing_is_claimed_or_recorded_twice_by_both(
    dsn: str, connection: Connection
) -> None:
    count = 8 * CLAIM_LIMIT
    await connection.execute(INSERT, count)
    slots, reports = Slots(ROOM, {"email": ROOM}, PLENTY), Outbox[Report]()
    async with (
        Session(dsn, "claims") as first,
        Session(dsn, "claims-2") as second,
        Session(dsn, "records") as third,
        Session(dsn, "records-2") as fourth,
        intake(first, slots) as (taking, out),
    ):
        breakers = Breakers({"email": BreakerPolicy()}, lambda *_: None)
        ends = (slots, taking.leases, taking.outage)
        desks = [
            Desk(session, taking.me, *ends, {"email": 5}, taking.bell, breakers)
            for session in (third, fourth)
        ]
        seen: list[Delivery] = []
        async with anyio.create_task_group() as recording:
            recording.start_soon(record, desks[0], reports)
            recording.start_soon(record_beside, desks[1], reports)
            async with anyio.create_task_group() as claiming:
                claiming.start_soon(claim, taking, first)
                claiming.start_soon(claim_beside, taking, second)
                with anyio.fail_after(50):
                    while len(seen) < count:
                        slots.queue(batch := await out.receive())
                        seen += batch
                        while delivery := slots.next():
                            now = anyio.current_time()
                            reports.put(Report(delivery, Succeeded(), now, now))
                            slots.finish(delivery)
                claiming.cancel_scope.cancel()
            reports.close()

    assert len({d.delivery_id for d in seen}) == count
    done = "select count(*) from chimeway.deliveries where status = 'succeeded'"
    assert await connection.fetchval(done) == count
    assert slots.in_hand == 0
    await check_invariants(connection)


async def test_claim_under_way_is_not_taken_for_one_that_was_not_heard_of(
    dsn: str, connection: Connection
) -> None:
    slots = Slots(ROOM, {"email": ROOM}, PLENTY)
    async with (
        Session(dsn, "claims") as first,
        Session(dsn, "claims-2") as second,
        intake(first, slots) as (taking, out),
    ):
        # The other session's claim is made, and its answer is on its way.
        await connection.execute(INSERT, 1)
        taking.under_way += 1
        on_its_way = await db.claim(second, taking.me, slots.room(), arm=False)
        taking.may_hold_unheard = True

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(claim, taking, first)
            await anyio.wait_all_tasks_blocked()
            assert await connection.fetchval(LEASES) == 1
            taking.leases.begin(on_its_way, anyio.current_time())
            taking.under_way -= 1
            await connection.execute(INSERT, 1)
            taking.bell.ring()
            with anyio.fail_after(30):
                others = await out.receive()
            tasks.cancel_scope.cancel()

    assert not taking.may_hold_unheard
    assert {d.delivery_id for d in others}.isdisjoint({d.delivery_id for d in on_its_way})
    assert await connection.fetchval(LEASES) == 2


async def test_retry_that_somebody_holds_locked_is_looked_for_ever_more_rarely(
    dsn: str, connection: Connection
) -> None:
    """It is due, and not to be had until an operator commits: minutes, if they forgot."""
    looks: list[None] = []
    async with (
        Session(dsn, "claims") as session,
        intake(session, Slots(1, {"email": 1}, PLENTY)) as (
            taking,
            _,
        ),
    ):
        taking.looked = lambda: looks.append(None)
        retry = await insert(connection)
        await operate(connection, "hold", retry, "wait", "ops")
        await operate(connection, "release", retry, "ops")
        async with connection.transaction(), anyio.create_task_group() as tasks:
            await operate(connection, "cancel", retry, "no longer wanted", "ops")
            tasks.start_soon(claim, taking, session)
            await anyio.sleep(2)
            tasks.cancel_scope.cancel()

    assert 0 < len(looks) < 50
