"""record with a token that is not the row's any more: history hears of it, the state does not."""

from datetime import timedelta

import pytest
from engine import (
    Connection,
    attempts_of,
    claim,
    claim_one,
    configure,
    events_of,
    insert,
    look,
    move_clock,
    record,
    record_all,
)

from chimewayd.models import Delivery

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
async def channel(unchecked: Connection) -> None:
    """Configure channel email."""
    await configure(unchecked)


async def lost(connection: Connection) -> Delivery:
    """Claim a delivery and have it rescued: the claim returned holds it no more."""
    delivery = await claim_one(connection)
    await move_clock(connection, timedelta(minutes=2))
    assert await connection.fetch("select * from chimeway.rescue(10)")
    return delivery


async def give_back(connection: Connection, delivery: Delivery) -> None:
    await connection.execute(
        "select chimeway.release_unsent('d1', $1, $2, 'stopping')",
        [delivery.delivery_id],
        [delivery.claim_id],
    )


async def test_stale_record_leaves_the_state_alone(connection: Connection) -> None:
    delivery = await lost(connection)
    before = await look(connection, delivery.delivery_id)

    verdict = await record(connection, delivery)

    assert (verdict.verdict, verdict.status) == ("stale", "failed")
    assert await look(connection, delivery.delivery_id) == before
    assert len(await attempts_of(connection, delivery.delivery_id)) == 1


async def test_stale_outcome_is_kept_in_the_history_once(connection: Connection) -> None:
    delivery = await lost(connection)

    for _ in range(3):
        await record(connection, delivery, "permanent", detail="no such user", status_code=550)

    (event,) = await events_of(connection, delivery.delivery_id)
    assert (event["event"], event["actor"]) == ("late_outcome", "daemon d1")
    assert event["reason"] == "no such user"
    for fact in ('"kind": "permanent"', '"status_code": 550', f'"claim_id": {delivery.claim_id}'):
        assert fact in event["facts"]


async def test_stale_record_does_not_touch_the_next_claim(connection: Connection) -> None:
    old = await lost(connection)
    await move_clock(connection, timedelta(hours=1))
    (new,) = await claim(connection)

    assert (await record(connection, old)).verdict == "stale"

    assert (await look(connection, old.delivery_id))["claim_id"] == new.claim_id
    assert (await record(connection, new)).verdict == "applied"


async def test_stale_record_cannot_rewrite_a_terminal_delivery(connection: Connection) -> None:
    old = await lost(connection)
    await move_clock(connection, timedelta(hours=1))
    (new,) = await claim(connection)
    await record(connection, new)
    before = await look(connection, old.delivery_id)

    verdict = await record(connection, old, "bounced")

    assert (verdict.verdict, verdict.status) == ("stale", "succeeded")
    assert await look(connection, old.delivery_id) == before


async def test_released_delivery_has_no_token_to_record_with(connection: Connection) -> None:
    delivery = await claim_one(connection)
    await give_back(connection, delivery)

    verdict = await record(connection, delivery)

    assert (verdict.verdict, verdict.status) == ("stale", "pending")


async def test_one_stale_outcome_does_not_spoil_its_batch(connection: Connection) -> None:
    for _ in range(3):
        await insert(connection)
    first, stale, last = await claim(connection)
    await give_back(connection, stale)

    verdicts = await record_all(
        connection, [(first, "succeeded"), (stale, "permanent"), (last, "temporary")]
    )

    assert [verdicts[d.delivery_id].verdict for d in (first, stale, last)] == [
        "applied",
        "stale",
        "applied",
    ]
    assert (await look(connection, stale.delivery_id))["status"] == "pending"
    facts = [event["facts"] for event in await events_of(connection, stale.delivery_id)]
    assert '"kind": "permanent"' in facts[-1]


async def test_old_and_new_claim_of_a_delivery_may_share_a_batch(connection: Connection) -> None:
    old = await lost(connection)
    await move_clock(connection, timedelta(hours=1))
    (new,) = await claim(connection)

    rows = await connection.fetch(
        "select * from chimeway.record('d1', $1, $2, $3, $4, $4, $5, $6, $5, $5, $7)",
        [old.delivery_id, new.delivery_id],
        [old.claim_id, new.claim_id],
        ["permanent", "succeeded"],
        [0.1, 0.1],
        *[[None, None]] * 3,
    )

    assert {row["nth"]: row["verdict"] for row in rows} == {1: "stale", 2: "applied"}


async def test_record_of_a_deleted_delivery_says_that_it_is_gone(unchecked: Connection) -> None:
    delivery = await claim_one(unchecked)
    await unchecked.execute("delete from chimeway.deliveries")

    verdict = await record(unchecked, delivery)

    assert verdict == ("gone", None, None, None)
    assert await attempts_of(unchecked, delivery.delivery_id) == []
    assert await events_of(unchecked, delivery.delivery_id) == []
