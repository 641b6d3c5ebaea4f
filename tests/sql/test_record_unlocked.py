"""record_unlocked: what somebody else holds locked is left out, the rest is recorded."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from engine import Connection, claim, claim_one, configure, insert, look

from chimewayd.models import Delivery, Verdict

pytestmark = pytest.mark.anyio

LOCK = "select from chimeway.deliveries where id = $1 for update"


@pytest.fixture(autouse=True)
async def channel(unchecked: Connection) -> None:
    """Configure channel email."""
    await configure(unchecked)


async def record_unlocked(
    connection: Connection,
    deliveries: Sequence[Delivery],
    kinds: Sequence[str] = (),
    **report: Any,
) -> dict[UUID, Verdict]:
    said = {"details": None, "status_codes": None} | report
    rows = await connection.fetch(
        "select * from chimeway.record_unlocked("
        "'d1', $1, $2, $3, $4, $4, $5, $6, null, null, null)",
        [delivery.delivery_id for delivery in deliveries],
        [delivery.claim_id for delivery in deliveries],
        kinds or ["succeeded"] * len(deliveries),
        [0.0] * len(deliveries),
        *said.values(),
    )
    return {deliveries[nth - 1].delivery_id: Verdict._make(said) for nth, *said in rows}


async def test_locked_delivery_has_no_verdict_and_the_others_are_recorded(
    connection: Connection, other: Connection
) -> None:
    for _ in range(3):
        await insert(connection)
    first, locked, last = claimed = await claim(connection)

    async with other.transaction():
        await other.fetch(LOCK, locked.delivery_id)
        verdicts = await record_unlocked(connection, claimed)

    assert set(verdicts) == {first.delivery_id, last.delivery_id}
    assert {v.verdict for v in verdicts.values()} == {"applied"}
    assert (await look(connection, locked.delivery_id))["status"] == "dispatched"

    (verdict,) = (await record_unlocked(connection, [locked])).values()
    assert (verdict.verdict, verdict.status) == ("applied", "succeeded")


async def test_batch_of_nothing_but_locked_deliveries_has_no_verdict(
    connection: Connection, other: Connection
) -> None:
    delivery = await claim_one(connection)

    async with other.transaction():
        await other.fetch(LOCK, delivery.delivery_id)
        assert await record_unlocked(connection, [delivery]) == {}


async def test_delivery_that_is_gone_has_its_verdict(connection: Connection) -> None:
    delivery = await claim_one(connection)
    await connection.execute("delete from chimeway.deliveries")
    await connection.execute("delete from chimeway.claims")

    (verdict,) = (await record_unlocked(connection, [delivery])).values()

    assert verdict.verdict == "gone"


async def test_evidence_stays_with_its_delivery(connection: Connection, other: Connection) -> None:
    for _ in range(3):
        await insert(connection)
    claimed = await claim(connection)

    async with other.transaction():
        await other.fetch(LOCK, claimed[0].delivery_id)
        await record_unlocked(connection, claimed, status_codes=[201, 202, 203])

    rows = await connection.fetch("select delivery_id, status_code from chimeway.delivery_attempts")
    assert {row["delivery_id"]: row["status_code"] for row in rows} == {
        claimed[1].delivery_id: 202,
        claimed[2].delivery_id: 203,
    }


async def test_recipient_whom_somebody_holds_locked_keeps_the_others_from_nothing(
    connection: Connection, other: Connection
) -> None:
    for _ in range(2):
        await insert(connection, recipient="ada")
    left, recorded = claimed = await claim(connection)

    async with other.transaction():
        await other.execute(
            "insert into chimeway.suppressions (recipient, channel, actor) "
            "values ('ada', 'email', 'ops')"
        )
        verdicts = await record_unlocked(connection, claimed, ["unsubscribed", "succeeded"])
        assert await record_unlocked(connection, [left], ["unsubscribed"]) == {}

    assert set(verdicts) == {recorded.delivery_id}
    assert (await look(connection, left.delivery_id))["status"] == "dispatched"

    (verdict,) = (await record_unlocked(connection, [left], ["unsubscribed"])).values()
    assert (verdict.verdict, verdict.status) == ("applied", "cancelled")
