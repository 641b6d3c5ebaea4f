"""The heartbeat's own clock: what an outage must not do to it."""

from datetime import timedelta

import anyio
import pytest
from deliveries import deliveries

from chimewayd import db, heartbeat, outage
from chimewayd.errors import DatabaseUnavailable
from chimewayd.leases import Leases
from chimewayd.models import Claimed
from chimewayd.outage import Outage
from chimewayd.session import Session

pytestmark = pytest.mark.anyio

AWAY_SECONDS = 0.3


async def test_heartbeat_after_an_outage_counts_from_when_it_was_sent_and_not_from_its_first_try(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    began = anyio.current_time()
    answered = anyio.Event()

    async def beat(*_: object) -> list[int]:
        if anyio.current_time() < began + AWAY_SECONDS:
            raise DatabaseUnavailable("away")
        answered.set()
        return []

    monkeypatch.setattr(db, "heartbeat", beat)
    monkeypatch.setattr(outage, "LONGEST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(outage, "FIRST_WAIT_SECONDS", 0.01)
    lease = timedelta(seconds=0.2)
    leases = Leases(lease.total_seconds())
    leases.begin(deliveries(1, claim_id=1), sent_at=began)
    me = db.Identity(1, "d1", "1", ("hooks",), lease)

    async with anyio.create_task_group() as tasks:
        session = Session("postgresql://nowhere", "upkeep")
        tasks.start_soon(heartbeat.keep_leases, session, me, leases, Outage())
        await answered.wait()
        await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()

    assert leases.fits(1, now=began + AWAY_SECONDS, call_seconds=0.1)


async def test_answer_that_waited_long_is_no_sign_of_life_and_the_next_is_asked_for_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    beats = 0
    came_again = anyio.Event()

    async def beat(*_: object) -> list[int]:
        nonlocal beats
        beats += 1
        if beats == 1:
            await anyio.sleep(0.2)
        else:
            came_again.set()
        return []

    monkeypatch.setattr(db, "heartbeat", beat)
    monkeypatch.setattr("chimewayd.leases.SILENT_SECONDS", 5.05)
    hour = timedelta(hours=1)
    monkeypatch.setattr(heartbeat, "LONGEST_BEAT", hour)
    leases = Leases(hour.total_seconds())
    leases.extend([], sent_at=anyio.current_time() - 60)
    me = db.Identity(1, "d1", "1", ("hooks",), 4 * hour)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            session = Session("postgresql://nowhere", "upkeep")
            tasks.start_soon(heartbeat.keep_leases, session, me, leases, Outage())
            await came_again.wait()
            tasks.cancel_scope.cancel()


async def test_what_was_heard_while_we_looked_is_not_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lease = timedelta(seconds=60)
    leases = Leases(lease.total_seconds())
    heard, unheard = deliveries(1, claim_id=1)[0], deliveries(1, claim_id=2)[0]
    given_back: list[int] = []

    async def find(*_: object) -> list[Claimed]:
        leases.begin([heard], sent_at=anyio.current_time())
        return [Claimed(one.delivery_id, one.claim_id) for one in (heard, unheard)]

    async def release(_: Session, __: db.Identity, found: list[Claimed], ___: str) -> list[int]:
        given_back.extend(one.claim_id for one in found)
        return []

    monkeypatch.setattr(db, "find_unheard", find)
    monkeypatch.setattr(db, "release_unsent", release)
    me = db.Identity(1, "d1", "1", ("hooks",), lease)
    session = Session("postgresql://nowhere", "upkeep")

    await heartbeat.give_back_unheard(session, me, leases, timedelta())

    assert given_back == [unheard.claim_id]
