"""A delivery that somebody holds locked keeps no other from being given back or recorded."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from signal import SIGTERM
from uuid import UUID

import anyio
import asyncpg
import pytest
from deliveries import PLENTY
from engine import Connection, attempts_of, check_invariants, insert, look, operate
from gated import Gate
from loglines import restored_logging, started
from running import WEBHOOK, eventually, running

from chimewayd import db
from chimewayd.breakers import Breakers
from chimewayd.config_channel import BreakerPolicy, ChannelConfig
from chimewayd.leases import Leases
from chimewayd.listen import Bell
from chimewayd.models import (
    Delivery,
    Misconfigured,
    Outcome,
    Report,
    Succeeded,
    Unavailable,
    Unsent,
    Unsubscribed,
)
from chimewayd.outage import Outage
from chimewayd.outbox import Outbox
from chimewayd.record import Desk, record, release
from chimewayd.session import Session
from chimewayd.slots import Slots

pytestmark = pytest.mark.anyio

LOCK = "select from chimeway.deliveries where id = $1 for update"
LOCK_CHANNEL = "select from chimeway.channels where name = $1 for update"
LOCK_RATE = "select from chimeway.rates where channel = $1 for update"
SUPPRESS = (
    "insert into chimeway.suppressions (recipient, channel, actor) values ($1, 'email', 'ops')"
)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with restored_logging():
        started()
        yield


@asynccontextmanager
async def held(dsn: str, lock: str, what: object) -> AsyncIterator[None]:
    """Hold a row locked, as a transaction does that somebody forgot to end."""
    holder = await asyncpg.connect(dsn)
    try:
        async with holder.transaction():
            await holder.fetch(lock, what)
            yield
    finally:
        await holder.close()


@dataclass
class Stages:
    """Both of the last stages, and what they are given."""

    desk: Desk
    claimed: list[Delivery]
    reports: Outbox[Report]
    unsent: Outbox[Unsent]

    def report(self, delivery_id: UUID, outcome: Outcome) -> None:
        (one,) = [one for one in self.claimed if one.delivery_id == delivery_id]
        now = anyio.current_time()
        self.reports.put(Report(one, outcome, now, now))


@asynccontextmanager
async def stages(dsn: str, count: int) -> AsyncIterator[Stages]:
    """Claim so many and run the stages; at the end both have ended and nothing is in hand."""
    slots = Slots(count, {"email": count}, PLENTY)
    async with Session(dsn, "records") as session, Session(dsn, "records-2") as beside:
        await db.configure_channel(session, "email", ChannelConfig(adapter="sink"))
        daemon_id = await db.register_daemon(session, "d1", "1", ["email"])
        me = db.Identity(daemon_id, "d1", "1", ("email",), timedelta(seconds=60))
        claimed = await db.claim(session, me, slots.room(), arm=False)
        assert len(claimed) == count
        slots.take(claimed)
        breakers = Breakers({"email": BreakerPolicy()}, lambda *_: None)
        desk = Desk(
            *(session, me, slots, Leases(60), Outage(), {"email": 5}, Bell(), breakers),
            beside=beside,
        )
        running = Stages(desk, claimed, Outbox(), Outbox())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(record, desk, running.reports)
            tasks.start_soon(release, desk, running.unsent)
            yield running
            running.reports.close()
            running.unsent.close()
    assert (slots.in_hand, slots.done) == (0, count)


async def status(connection: Connection, delivery_id: UUID) -> str:
    found: str = (await look(connection, delivery_id))["status"]
    return found


async def several(connection: Connection, count: int) -> Sequence[UUID]:
    return [await insert(connection) for _ in range(count)]


async def handed_on(reports: Outbox[Report], batches: int) -> None:
    """Wait until the stage has done what it can with so many batches, and waits for the next."""
    while reports.taken < batches or not reports.is_idle:
        await anyio.lowlevel.checkpoint()


async def test_locked_delivery_keeps_no_other_from_being_given_back(
    dsn: str, connection: Connection
) -> None:
    locked, beside, later = await several(connection, 3)

    async with stages(dsn, 3) as at, held(dsn, LOCK, locked):
        by_id = {one.delivery_id: Unsent(one) for one in at.claimed}
        at.unsent.put_all([by_id[locked], by_id[beside]])
        await eventually(lambda: status(connection, beside), "pending")
        at.unsent.put(by_id[later])
        await eventually(lambda: status(connection, later), "pending")
        assert await status(connection, locked) == "dispatched"

    assert await status(connection, locked) == "pending"
    await check_invariants(connection)


@pytest.mark.parametrize(
    "fault", [Unavailable(), Misconfigured()], ids=["unavailable", "misconfigured"]
)
async def test_locked_delivery_of_a_channel_that_stops_keeps_no_other_from_being_recorded(
    dsn: str, connection: Connection, fault: Outcome
) -> None:
    locked, other, later = await several(connection, 3)

    async with stages(dsn, 3) as at, held(dsn, LOCK, locked):
        at.report(locked, fault)
        at.report(other, fault)
        await eventually(lambda: status(connection, other), "pending")
        at.report(later, Succeeded())
        await eventually(lambda: status(connection, later), "succeeded")

    assert await status(connection, locked) == "pending"
    assert await attempts_of(connection, locked) == []
    await check_invariants(connection)


async def test_channel_that_is_locked_when_it_is_to_stop_keeps_nothing_from_being_recorded(
    dsn: str, connection: Connection
) -> None:
    first, second = await several(connection, 2)

    async with stages(dsn, 2) as at, held(dsn, LOCK_CHANNEL, "email"):
        at.report(first, Misconfigured(detail="no credentials"))
        await anyio.wait_all_tasks_blocked()
        at.report(second, Succeeded())
        await eventually(lambda: status(connection, second), "succeeded")

    assert await connection.fetchval("select pause_reason from chimeway.channels") is not None
    await check_invariants(connection)


async def test_recipient_who_is_locked_keeps_no_other_from_being_recorded(
    dsn: str, connection: Connection
) -> None:
    """An operator who writes a list of suppressions may take their time."""
    unsubscribed, other = await several(connection, 2)
    recipient = (await look(connection, other))["recipient"]

    async with stages(dsn, 2) as at, held(dsn, SUPPRESS, recipient):
        at.report(unsubscribed, Unsubscribed())
        await handed_on(at.reports, 1)
        at.report(other, Succeeded())
        await eventually(lambda: status(connection, other), "succeeded")
        assert await status(connection, unsubscribed) == "dispatched"

    assert await status(connection, unsubscribed) == "cancelled"
    await check_invariants(connection)


async def test_delivery_that_is_let_go_does_not_wait_for_one_that_is_not(
    dsn: str, connection: Connection
) -> None:
    locked, let_go = await several(connection, 2)

    async with stages(dsn, 2) as at, held(dsn, LOCK, locked):
        async with held(dsn, LOCK, let_go):
            at.report(locked, Succeeded())
            await handed_on(at.reports, 1)
            at.report(let_go, Succeeded())
            await handed_on(at.reports, 2)
        await eventually(lambda: status(connection, let_go), "succeeded")
        assert await status(connection, locked) == "dispatched"

    assert await status(connection, locked) == "succeeded"
    await check_invariants(connection)


async def test_daemon_that_stops_does_not_wait_for_what_somebody_holds_locked(
    dsn: str, connection: Connection, gate: Gate
) -> None:
    ids = [await insert(connection, channel="hooks", recipient=gate.url) for _ in range(3)]

    async with running(dsn, {"hooks": WEBHOOK | {"concurrency": 1}}) as daemon:
        await gate.until_under_way(1)
        called, locked, other = sorted(ids, key=lambda one: str(one) not in gate.arrived)
        async with held(dsn, LOCK, locked):
            daemon.signal(SIGTERM)
            await daemon.said("release_locked")
            await eventually(lambda: status(connection, other), "pending")
            gate.open()
            stopped = await daemon.ended()
            assert await status(connection, locked) == "dispatched"

    assert stopped.exit_code == 0
    assert await status(connection, called) == "succeeded"
    assert "database_lost" not in stopped.events()


async def test_rate_that_stays_locked_keeps_no_other_channel_from_being_claimed(
    dsn: str, connection: Connection
) -> None:
    """As where another daemon was stopped while it reads what it claimed."""
    channels = {"slow": {"adapter": "sink", "rate": "1/s"}, "bin": {"adapter": "sink"}}

    async with running(dsn, channels) as daemon:
        async with held(dsn, LOCK_RATE, "slow"):
            await insert(connection, channel="slow")
            await daemon.said("claim_locked")
            for count in (1, 2):
                await insert(connection, channel="bin")
                await daemon.said("attempt_recorded", count, channel="bin")
            assert daemon.of("attempt_recorded", channel="slow") == []
        await daemon.said("attempt_recorded", channel="slow")

    assert len(daemon.of("claim_locked")) == 1


async def test_locked_delivery_that_keeps_all_from_being_claimed_is_told_once(
    dsn: str, connection: Connection
) -> None:
    """Only the owner can do that, by hand; but a daemon that stands still must say why."""
    async with running(dsn, {"email": {"adapter": "sink"}}) as daemon:
        await operate(connection, "pause_channel", "email", "until it is locked", "ops")
        locked = await insert(connection)
        async with held(dsn, LOCK, locked):
            await operate(connection, "resume_channel", "email", "ops")
            await daemon.said("claim_locked", level="warning")
            other = await insert(connection)
        await eventually(lambda: status(connection, locked), "succeeded")
        await eventually(lambda: status(connection, other), "succeeded")

    assert len(daemon.of("claim_locked")) == 1
    assert daemon.of("database_lost") == []
    assert "lock timeout" in daemon.of("claim_locked")[0]["error"]
