"""The heartbeat's own clock: what an outage must not do to it."""

from datetime import timedelta

import anyio
import pytest
from deliveries import deliveries

from chimewayd import db, heartbeat, outage
from chimewayd.errors import DatabaseUnavailable
from chimewayd.leases import Leases
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
