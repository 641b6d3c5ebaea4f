"""suppress: as cancel, with another end."""

import pytest
from engine import Connection, claim_one, configure, events_of, insert, look, operate, record

pytestmark = pytest.mark.anyio


async def test_waiting_delivery_is_suppressed_at_once(connection: Connection) -> None:
    delivery_id = await insert(connection)

    answer = await operate(connection, "suppress", delivery_id, "unsubscribed", "ada")

    row = await look(connection, delivery_id)
    (event,) = await events_of(connection, delivery_id)
    assert tuple(answer) == (True, "suppressed", "suppressed")
    assert (row["status"], row["suppression_reason"]) == ("suppressed", "unsubscribed")
    assert (event["event"], event["actor"], event["reason"]) == (
        "suppressed",
        "ada",
        "unsubscribed",
    )


async def test_suppress_during_a_call_ends_it_after_a_failure(connection: Connection) -> None:
    await configure(connection)
    delivery = await claim_one(connection)
    await operate(connection, "suppress", delivery.delivery_id, "unsubscribed", "ada")

    verdict = await record(connection, delivery, "temporary")

    (event,) = await events_of(connection, delivery.delivery_id)
    assert (verdict.status, verdict.suppression_reason) == ("suppressed", "unsubscribed")
    assert event["event"] == "suppress_requested"
