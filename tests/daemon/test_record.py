"""The last stage on a real database: outcomes that it cannot store, and whose line is whose."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import anyio
import asyncpg
import pytest
from deliveries import PLENTY, delivery
from engine import Connection, attempts_of, check_invariants, events_of, insert, look
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
    Permanent,
    Report,
    Room,
    Succeeded,
    Temporary,
    Throttled,
    Unavailable,
    Verdict,
)
from chimewayd.outage import Outage
from chimewayd.outbox import Outbox
from chimewayd.record import Desk, _sorted_out, record
from chimewayd.session import Session
from chimewayd.slots import Slots
from chimewayd.testing.receiver import Receiver

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with restored_logging():
        started()
        yield


LOCK = "select from chimeway.deliveries where id = $1 for update"
WRONG_TYPE = cast("Any", "503")


async def _claimed(session: Session, room: Room) -> tuple[db.Identity, list[Delivery]]:
    await db.configure_channel(session, "email", ChannelConfig(adapter="sink"))
    daemon_id = await db.register_daemon(session, "d1", "1", ["email"])
    me = db.Identity(daemon_id, "d1", "1", ("email",), timedelta(seconds=60))
    return me, await db.claim(session, me, room, arm=False)


async def record_all(dsn: str, *outcomes: Outcome) -> None:
    """Claim as many deliveries as there are outcomes, and report one for each."""
    slots, leases, reports = Slots(10, {"email": 10}, PLENTY), Leases(60), Outbox[Report]()
    async with Session(dsn, "records") as session:
        me, claimed = await _claimed(session, slots.room())
        slots.take(claimed)
        slots.queue(claimed)
        for outcome in outcomes:
            one = slots.next()
            assert one is not None
            slots.finish(one)
            reports.put(Report(one, outcome, anyio.current_time(), anyio.current_time()))
        reports.close()
        breakers = Breakers({"email": BreakerPolicy()}, lambda *_: None)
        with anyio.fail_after(10):
            desk = Desk(session, me, slots, leases, Outage(), {"email": 5}, Bell(), breakers)
            await record(desk, reports)
    assert slots.in_hand == 0


@pytest.mark.parametrize(
    ("broken", "status"),
    [
        pytest.param(Permanent(detail="a\0b"), "cancelled", id="NUL"),
        pytest.param(Permanent(detail="\ud800"), "cancelled", id="half a character"),
        pytest.param(Permanent(status_code=10**12), "cancelled", id="a huge status"),
        pytest.param(Permanent(status_code=WRONG_TYPE), "cancelled", id="a status that is a text"),
        pytest.param(Temporary(retry_after=WRONG_TYPE), "failed", id="a wait that is a text"),
        pytest.param(Throttled(retry_after=WRONG_TYPE), "failed", id="a limit that is a text"),
        pytest.param(Succeeded(provider_message_id="\0"), "succeeded", id="a bad message id"),
    ],
)
async def test_outcome_that_cannot_be_stored_is_recorded_without_its_evidence(
    dsn: str, connection: Connection, broken: Outcome, status: str
) -> None:
    first = await insert(connection)
    second = await insert(connection)

    await record_all(dsn, broken, Succeeded(status_code=250))

    (attempt,) = await attempts_of(connection, first)
    assert (await look(connection, first))["status"] == status
    assert "evidence" in attempt["detail"]
    assert (await look(connection, second))["status"] == "succeeded"
    await check_invariants(connection)


async def test_fault_of_ours_pauses_the_channel_and_costs_no_attempt(
    dsn: str, connection: Connection
) -> None:
    first = await insert(connection)
    second = await insert(connection)

    await record_all(dsn, Misconfigured(detail="no credentials"), Succeeded())

    channel = await connection.fetchrow("select * from chimeway.channels where name = 'email'")
    assert channel is not None
    assert (channel["pause_reason"], channel["paused_by"]) == ("no credentials", "daemon d1")
    row = await look(connection, first)
    assert (row["status"], row["attempt_count"]) == ("pending", 0)
    (given_back,) = await events_of(connection, first)
    assert given_back["reason"] == "the channel was paused, for a fault of ours: no credentials"
    assert await attempts_of(connection, first) == []
    assert (await look(connection, second))["status"] == "succeeded"
    await check_invariants(connection)


@pytest.mark.parametrize(
    ("detail", "reason"),
    [
        ("no\0credentials\ud800", "no credentials"),
        (WRONG_TYPE, "503"),
        ("", "misconfigured"),
        pytest.param("no credentials " + "é" * 1000, "no credentials é", id="far too long"),
    ],
)
async def test_reason_that_no_database_takes_still_pauses_the_channel(
    dsn: str, connection: Connection, detail: str, reason: str
) -> None:
    await insert(connection)

    await record_all(dsn, Misconfigured(detail=detail))

    said = await connection.fetchval("select pause_reason from chimeway.channels")
    assert reason in said


async def test_locked_delivery_keeps_no_other_from_being_recorded(
    dsn: str, connection: Connection, hooks: Receiver
) -> None:
    holder = await asyncpg.connect(dsn)
    sink = {"adapter": "sink", "settings": {"delay": "1s"}}
    async with running(dsn, {"slow": sink, "hooks": WEBHOOK}) as daemon:
        locked = await insert(connection, channel="slow")
        await eventually(lambda: _status(connection, locked), "dispatched")
        async with holder.transaction():
            await holder.fetch(LOCK, locked)
            await daemon.said("record_locked", deliveries=[str(locked)])
            await insert(connection, channel="hooks", recipient=hooks.url)
            await daemon.said("attempt_recorded", channel="hooks")
        await daemon.said("attempt_recorded", channel="slow")

    await holder.close()

    assert await _status(connection, locked) == "succeeded"
    await check_invariants(connection)


async def _status(connection: Connection, delivery_id: UUID) -> str:
    status: str = (await look(connection, delivery_id))["status"]
    return status


def test_verdicts_stay_with_their_reports_when_others_have_none() -> None:
    calls = [Report(delivery(), Succeeded(), 0, n) for n in range(4)]
    applied, stale = Verdict("applied", "succeeded"), Verdict("stale", "failed")

    settled, verdicts, locked = _sorted_out(calls, [None, stale, None, applied])

    assert (settled, verdicts, locked) == (
        [calls[1], calls[3]],
        [stale, applied],
        [calls[0], calls[2]],
    )


async def test_two_outcomes_of_one_delivery_have_a_verdict_each(
    dsn: str, connection: Connection
) -> None:
    await insert(connection)
    async with Session(dsn, "records") as session:
        me, (one,) = await _claimed(session, Room({"email": 1}, 1, takes_suspect=False))
        before = one._replace(claim_id=one.claim_id + 1000)
        reports = [Report(before, Temporary(), 0, 1), Report(one, Succeeded(), 5, 6)]

        verdicts = await db.record(session, me, reports, 7)

    assert [said and said.verdict for said in verdicts] == ["stale", "applied"]


async def test_provider_that_is_unavailable_opens_the_breaker_and_costs_no_attempt(
    dsn: str, connection: Connection
) -> None:
    first = await insert(connection)
    second = await insert(connection)

    await record_all(dsn, Unavailable(detail="no route to the relay"), Succeeded())

    breaker = await connection.fetchrow("select * from chimeway.breakers")
    assert breaker is not None
    assert (breaker["reason"], breaker["opened_by"]) == ("no route to the relay", "d1")
    row = await look(connection, first)
    assert (row["status"], row["attempt_count"]) == ("pending", 0)
    assert (await look(connection, second))["status"] == "succeeded"
    await check_invariants(connection)
