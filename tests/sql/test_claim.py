"""claim: each delivery for one daemon only, under one token, or not at all."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from engine import (
    LEASE,
    Connection,
    claim,
    claim_one,
    configure,
    delivery_in,
    events_of,
    insert,
    jobs_of,
    look,
    move_clock,
    operate,
    record,
)

from chimewayd.models import Delivery, Status

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
async def channel(unchecked: Connection) -> None:
    """Configure channel email."""
    await configure(unchecked)


def ids(deliveries: Sequence[Delivery]) -> list[UUID]:
    return [delivery.delivery_id for delivery in deliveries]


async def test_claim_returns_all_that_an_attempt_needs(connection: Connection) -> None:
    delivery_id = await insert(
        connection,
        payload='{"b": 1, "a": "é"}',
        metadata='{"shop": 7}',
        tenant_id="acme",
        notification_key="order.shipped",
        correlation_id="trace-1",
        idempotency_key="order-1",
        max_attempts=3,
    )

    (delivery,) = await claim(connection)

    row = await look(connection, delivery_id)
    assert delivery == Delivery(
        delivery_id=delivery_id,
        claim_id=row["claim_id"],
        attempt_number=1,
        channel="email",
        recipient="ada@example.org",
        payload_json='{"a": "é", "b": 1}',
        tenant_id="acme",
        notification_key="order.shipped",
        correlation_id="trace-1",
        idempotency_key="order-1",
        metadata_json='{"shop": 7}',
        max_attempts=3,
        attempts_before=0,
        lost_count=0,
        waited_seconds=delivery.waited_seconds,
    )
    assert 0 <= delivery.waited_seconds < 60


async def test_claim_dispatches_and_counts_the_attempt(connection: Connection) -> None:
    delivery_id = await insert(connection)

    (delivery,) = await claim(connection)

    row = await look(connection, delivery_id)
    assert (row["status"], row["attempt_count"]) == ("dispatched", 1)
    assert row["claim_id"] == delivery.claim_id
    assert await jobs_of(connection, delivery_id) == []


async def test_claim_leaves_the_channels_attempt_limit_to_the_daemon(
    connection: Connection,
) -> None:
    assert (await claim_one(connection)).max_attempts is None


async def test_claim_of_a_retry_goes_on_counting(connection: Connection) -> None:
    delivery = await claim_one(connection)
    await record(connection, delivery, "temporary")
    await move_clock(connection, timedelta(hours=1))

    (again,) = await claim(connection)

    assert again.attempt_number == 2
    assert again.claim_id > delivery.claim_id
    assert (await look(connection, again.delivery_id))["next_attempt_at"] is None


async def test_claim_passes_over_a_paused_channel(connection: Connection) -> None:
    delivery_id = await insert(connection)
    await operate(connection, "pause_channel", "email", "relay down", "ops")
    assert await claim(connection) == []

    await operate(connection, "resume_channel", "email", "ops")

    assert ids(await claim(connection)) == [delivery_id]


async def test_claim_passes_over_a_channel_that_nobody_configured(connection: Connection) -> None:
    await insert(connection, channel="fax")

    assert await claim(connection, "fax") == []


async def test_claim_passes_over_channels_it_was_not_asked_for(connection: Connection) -> None:
    await configure(connection, "sms")
    await insert(connection, channel="sms")

    assert await claim(connection, "email") == []


async def test_claim_skips_what_another_one_is_taking(
    connection: Connection, other: Connection
) -> None:
    first, second = await insert(connection), await insert(connection)

    async with other.transaction():
        assert ids(await claim(other, slots=1)) == [first]
        assert ids(await claim(connection)) == [second]


async def test_claim_that_is_rolled_back_leaves_its_deliveries_to_others(
    connection: Connection, other: Connection
) -> None:
    delivery_id = await insert(connection)
    transaction = other.transaction()
    await transaction.start()
    await claim(other)
    await transaction.rollback()

    (delivery,) = await claim(connection)

    assert (delivery.delivery_id, delivery.attempt_number) == (delivery_id, 1)


async def test_claims_row_says_who_holds_what_and_until_when(connection: Connection) -> None:
    expected = {await insert(connection) for _ in range(3)}

    claimed = await claim(connection, lease=LEASE, daemon_id=7)

    row = await connection.fetchrow("select * from chimeway.claims")
    assert row is not None
    assert {delivery.claim_id for delivery in claimed} == {row["id"]}
    assert set(row["delivery_ids"]) == expected
    assert row["open_count"] == 3
    assert (row["daemon_id"], row["daemon_name"]) == (7, "d1")
    assert row["expires_at"] - row["claimed_at"] == LEASE


async def test_claim_ids_are_never_used_again(connection: Connection) -> None:
    tokens = []
    for _ in range(3):
        delivery = await claim_one(connection)
        await record(connection, delivery)
        tokens.append(delivery.claim_id)

    assert tokens == sorted(set(tokens))


@pytest.mark.parametrize("status", [s for s in Status if s not in ("pending", "failed")])
async def test_delivery_that_does_not_wait_is_never_claimed(
    connection: Connection, status: Status
) -> None:
    delivery_id = await delivery_in(connection, status)
    before = await look(connection, delivery_id)
    await move_clock(connection, timedelta(days=7))

    assert await claim(connection) == []

    assert await look(connection, delivery_id) == before


async def test_stray_job_of_a_terminal_delivery_is_swept_up_without_a_call(
    connection: Connection,
) -> None:
    delivery_id = await delivery_in(connection, Status.SUCCEEDED)
    before = await look(connection, delivery_id)
    await connection.execute(
        "insert into chimeway.jobs (delivery_id, due_at, position, priority, channel) "
        "select id, now(), position, priority, channel from chimeway.deliveries"
    )

    assert await claim(connection) == []

    assert await jobs_of(connection, delivery_id) == []
    assert await look(connection, delivery_id) == before


async def test_claim_of_nothing_writes_nothing(connection: Connection) -> None:
    await insert(connection, scheduled_at=datetime.now(UTC) + timedelta(hours=1))
    token = await connection.fetchval("select last_value from chimeway.claim_ids")

    async with connection.transaction():
        assert await claim(connection) == []
        # Only a transaction that writes gets an id.
        written = await connection.fetchval("select pg_current_xact_id_if_assigned()::text")

    assert written is None
    assert await connection.fetchval("select last_value from chimeway.claim_ids") == token


@pytest.mark.parametrize("arm", [True, False])
async def test_claim_arms_the_bell_if_asked(connection: Connection, arm: bool) -> None:
    before = await connection.fetchval("select last_value from chimeway.bell_armed")

    await claim(connection, arm=arm)

    armed = await connection.fetchval("select last_value from chimeway.bell_armed")
    assert armed == before + (1 if arm else 0)


async def test_held_delivery_is_claimed_only_after_its_release(connection: Connection) -> None:
    delivery_id = await insert(connection)
    await operate(connection, "hold", delivery_id, "wait", "ops")
    assert await claim(connection) == []

    await operate(connection, "release", delivery_id, "ops")

    assert ids(await claim(connection)) == [delivery_id]
    assert [event["event"] for event in await events_of(connection, delivery_id)] == [
        "held",
        "released",
    ]


@pytest.mark.parametrize("scheduled_ago", ["0 s", "-10 s", "1 h"], ids=["now", "later", "past"])
async def test_claim_says_how_long_the_delivery_has_waited(
    connection: Connection, scheduled_ago: str
) -> None:
    scheduled_at = await connection.fetchval(
        "select chimeway.clock() - $1::text::interval", scheduled_ago
    )
    await insert(connection, scheduled_at=scheduled_at)
    await move_clock(connection, timedelta(seconds=30))

    (delivery,) = await claim(connection)

    # A moment before the insert counts from the insert.
    assert delivery.waited_seconds == pytest.approx(20 if scheduled_ago == "-10 s" else 30, abs=5)


async def test_claim_after_a_replay_has_waited_since_then(connection: Connection) -> None:
    delivery = await claim_one(connection)
    await record(connection, delivery, "permanent")
    await move_clock(connection, timedelta(hours=3))
    await operate(connection, "replay", delivery.delivery_id, "ops")
    await move_clock(connection, timedelta(hours=3, seconds=30))

    (again,) = await claim(connection)

    assert again.waited_seconds == pytest.approx(30, abs=5)
