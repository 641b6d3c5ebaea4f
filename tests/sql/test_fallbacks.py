"""Fallbacks: what failed for good is sent on by another channel, once."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from engine import (
    LEASE,
    Connection,
    claim,
    claim_one,
    configure,
    ended,
    events_of,
    insert,
    look,
    move_clock,
    operate,
    record,
)

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
async def channels(unchecked: Connection) -> None:
    """Channel email falls back on sms."""
    await configure(unchecked, fallback="sms", max_attempts=2)
    await configure(unchecked, "sms")


async def fallback_of(connection: Connection, origin_id: UUID) -> Any:
    """Return the row of the delivery that was made of another one; None: none was."""
    return await connection.fetchrow(
        "select d.* from chimeway.fallbacks as f"
        " join chimeway.deliveries as d on d.id = f.delivery_id where f.origin_id = $1",
        origin_id,
    )


@pytest.mark.parametrize("kind", ["permanent", "bounced", "unsubscribed"])
async def test_what_failed_for_good_is_sent_on(connection: Connection, kind: str) -> None:
    origin_id = await ended(
        connection,
        kind,
        tenant_id="t",
        notification_key="order.shipped",
        correlation_id="c",
        idempotency_key="k",
        priority=7,
    )

    made = await fallback_of(connection, origin_id)

    assert (made["channel"], made["status"], made["recipient"]) == (
        "sms",
        "pending",
        "ada@example.org",
    )
    assert (made["tenant_id"], made["notification_key"], made["correlation_id"]) == (
        "t",
        "order.shipped",
        "c",
    )
    assert (made["priority"], made["idempotency_key"], made["attempt_count"]) == (7, None, 0)
    (delivery,) = await claim(connection, "sms")
    assert delivery.delivery_id == made["id"]


async def test_exhaustion_falls_back_at_the_last_attempt(connection: Connection) -> None:
    origin_id = await ended(connection, "temporary")
    assert await fallback_of(connection, origin_id) is None
    await move_clock(connection, timedelta(minutes=1))
    (again,) = await claim(connection)

    await record(connection, again, "temporary")

    assert (await fallback_of(connection, origin_id))["channel"] == "sms"


async def test_loss_that_exhausts_falls_back(connection: Connection) -> None:
    await configure(connection, fallback="sms", max_attempts=1)
    delivery = await claim_one(connection)
    await move_clock(connection, 2 * LEASE)

    await connection.execute("select chimeway.rescue(10)")

    assert await fallback_of(connection, delivery.delivery_id) is not None


@pytest.mark.parametrize("end", ["succeeded", "cancelled", "suppressed", "expired", "unknown"])
async def test_other_ends_do_not(connection: Connection, end: str) -> None:
    match end:
        case "succeeded":
            origin_id = await ended(connection, "succeeded")
        case "unknown":
            await configure(connection, fallback="sms", on_uncertain="hold")
            origin_id = await ended(connection, "uncertain")
        case "expired":
            now = await connection.fetchval("select now()")
            origin_id = await insert(connection, expires_at=now)
            await claim(connection)
        case _:
            verb = "cancel" if end == "cancelled" else "suppress"
            origin_id = (await claim_one(connection)).delivery_id
            await operate(connection, verb, origin_id, "bounced", "ada")

    assert (await look(connection, origin_id)) is not None
    assert await fallback_of(connection, origin_id) is None


async def test_recipient_and_payload_are_those_of_the_metadata(connection: Connection) -> None:
    words = {"fallback": {"sms": {"recipient": "+4912345", "payload": {"text": "short"}}}}

    origin_id = await ended(connection, "bounced", metadata=json.dumps(words))

    made = await fallback_of(connection, origin_id)
    assert (made["recipient"], json.loads(made["payload"])) == ("+4912345", {"text": "short"})
    assert json.loads(made["metadata"]) == words


async def test_repeated_record_makes_no_second_one(connection: Connection) -> None:
    delivery = await claim_one(connection)
    await record(connection, delivery, "permanent")

    verdict = await record(connection, delivery, "permanent")

    assert verdict.verdict == "already_applied"
    assert await connection.fetchval("select count(*) from chimeway.deliveries") == 2


async def test_late_record_makes_none(connection: Connection) -> None:
    delivery = await claim_one(connection)
    await move_clock(connection, 2 * LEASE)
    await connection.execute("select chimeway.rescue(10)")

    verdict = await record(connection, delivery, "permanent")

    assert verdict.verdict == "stale"
    assert await fallback_of(connection, delivery.delivery_id) is None


async def test_late_record_of_an_earlier_call_makes_none_of_what_ended_before(
    connection: Connection,
) -> None:
    await configure(connection)
    lost = await claim_one(connection)
    await move_clock(connection, 2 * LEASE)
    await connection.execute("select chimeway.rescue(10)")
    (again,) = await claim(connection)
    await record(connection, again, "permanent")
    await configure(connection, fallback="sms")

    await record(connection, lost, "permanent")

    assert await fallback_of(connection, lost.delivery_id) is None


async def test_record_that_is_rolled_back_leaves_none(connection: Connection) -> None:
    delivery = await claim_one(connection)
    transaction = connection.transaction()
    await transaction.start()
    await record(connection, delivery, "permanent")
    await transaction.rollback()
    assert await fallback_of(connection, delivery.delivery_id) is None

    await record(connection, delivery, "permanent")

    assert await fallback_of(connection, delivery.delivery_id) is not None


async def test_replay_that_fails_again_makes_no_second_one(connection: Connection) -> None:
    origin_id = await ended(connection, "bounced")
    await operate(connection, "replay", origin_id, "ada")
    (again,) = await claim(connection)

    await record(connection, again, "bounced")

    assert await connection.fetchval("select count(*) from chimeway.fallbacks") == 1


async def test_chain_ends_where_it_would_come_back(connection: Connection) -> None:
    await configure(connection, "sms", fallback="email")
    origin_id = await ended(connection, "permanent")
    (delivery,) = await claim(connection, "sms")

    await record(connection, delivery, "permanent")

    assert await fallback_of(connection, delivery.delivery_id) is None
    (refused,) = await events_of(connection, delivery.delivery_id)
    assert (refused["event"], refused["reason"]) == (
        "fallback_refused",
        "channel email has had its turn",
    )
    assert await fallback_of(connection, origin_id) is not None


async def test_row_that_breaks_a_rule_is_refused_and_said_and_stops_no_other(
    connection: Connection,
) -> None:
    words = {"fallback": {"sms": {"recipient": ""}}}
    origin_id = await ended(connection, "permanent", metadata=json.dumps(words))

    (refused,) = await events_of(connection, origin_id)

    assert refused["reason"].startswith("recipient: must be 1 to 2048")
    assert (await look(connection, origin_id))["status"] == "cancelled"


async def test_explain_tells_the_chain_in_both_directions(connection: Connection) -> None:
    await configure(connection, "voice")
    await configure(connection, "sms", fallback="voice")
    origin_id = await ended(connection, "bounced")
    (second,) = await claim(connection, "sms")
    await record(connection, second, "permanent")
    (third,) = await claim(connection, "voice")

    of_first = await connection.fetch("select * from chimeway.explain($1)", origin_id)
    of_third = await connection.fetch("select * from chimeway.explain($1)", third.delivery_id)

    assert [row["what"] for row in of_first if row["event"] == "fell_back"] == [
        f"sent on as delivery {second.delivery_id} on channel sms: cancelled / permanent_failure",
        f"sent on as delivery {third.delivery_id} on channel voice: dispatched",
    ]
    assert of_third[0]["why"] == (
        f"fallback of delivery {second.delivery_id}, which ended on channel sms as cancelled: "
        "permanent_failure"
    )


async def test_explain_of_a_fallback_knows_that_its_origin_was_replayed(
    connection: Connection,
) -> None:
    origin_id = await ended(connection, "bounced")
    (second,) = await claim(connection, "sms")
    await operate(connection, "replay", origin_id, "ada")

    first, *_ = await connection.fetch("select * from chimeway.explain($1)", second.delivery_id)

    assert first["why"] == (
        f"fallback of delivery {origin_id}, which failed for good on channel email and was "
        "replayed since"
    )


@pytest.mark.parametrize("verb", ["cancel", "suppress"])
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("permanent", "order was withdrawn"),
        ("bounced", "order was withdrawn"),
        ("temporary", "bounced"),
        ("temporary", "retries_exhausted"),
    ],
)
async def test_what_an_operator_ended_during_the_call_is_not_sent_on(
    connection: Connection, verb: str, kind: str, reason: str
) -> None:
    delivery = await claim_one(connection)
    await operate(connection, verb, delivery.delivery_id, reason, "ada")

    await record(connection, delivery, kind)

    assert await fallback_of(connection, delivery.delivery_id) is None


async def test_what_was_replayed_after_such_an_end_falls_back_again(connection: Connection) -> None:
    delivery = await claim_one(connection)
    await operate(connection, "cancel", delivery.delivery_id, "order was withdrawn", "ada")
    await record(connection, delivery, "permanent")
    await operate(connection, "replay", delivery.delivery_id, "ada")
    (again,) = await claim(connection)

    await record(connection, again, "permanent")

    assert await fallback_of(connection, delivery.delivery_id) is not None


NULL = json.dumps({"fallback": {"sms": {"payload": None, "recipient": None}}})


@pytest.mark.parametrize("columns", [{"metadata": NULL}, {"payload": "null"}])
async def test_null_of_json_is_sent_on_and_stops_no_rescue(
    connection: Connection, columns: dict[str, str]
) -> None:
    """It is not the null of SQL, which no delivery may have: all rescues ended at it."""
    delivery = await claim_one(connection, **columns)
    await record(connection, delivery, "permanent")
    lost = await claim_one(connection, max_attempts=1, **columns)
    other = await claim_one(connection, recipient="bob@example.org")
    await move_clock(connection, 2 * LEASE)

    rescued = await connection.fetch("select delivery_id from chimeway.rescue(10)")

    made = await fallback_of(connection, delivery.delivery_id)
    assert (made["payload"], made["recipient"]) == (columns.get("payload", "{}"), "ada@example.org")
    assert {row[0] for row in rescued} == {lost.delivery_id, other.delivery_id}
