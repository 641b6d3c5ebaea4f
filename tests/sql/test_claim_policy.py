"""claim judges policy: what has expired or is refused ends there, without a call."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from engine import (
    Connection,
    attempts_of,
    claim,
    configure,
    ended,
    events_of,
    insert,
    jobs_of,
    look,
    move_clock,
)

pytestmark = pytest.mark.anyio

SUPPRESSED: dict[str, Any] = {"channel": None, "tenant_id": None, "expires_at": None}


@pytest.fixture(autouse=True)
async def channel(unchecked: Connection) -> None:
    """Configure channel email."""
    await configure(unchecked)


async def suppress(connection: Connection, **columns: Any) -> None:
    row = SUPPRESSED | columns
    await connection.execute(
        "insert into chimeway.suppressions (recipient, channel, tenant_id, expires_at, actor) "
        "values ('ada@example.org', $1, $2, $3, 'ops')",
        row["channel"],
        row["tenant_id"],
        row["expires_at"],
    )


async def test_expired_delivery_is_cancelled_without_an_attempt(connection: Connection) -> None:
    delivery_id = await insert(connection, expires_at=datetime.now(UTC) - timedelta(seconds=1))

    assert await claim(connection) == []

    row = await look(connection, delivery_id)
    (event,) = await events_of(connection, delivery_id)
    assert (row["status"], row["suppression_reason"]) == ("cancelled", "expired")
    assert row["attempt_count"] == 0
    assert row["claim_id"] is None
    assert (event["event"], event["actor"], event["reason"]) == ("expired", "daemon d1", "expired")
    assert await attempts_of(connection, delivery_id) == []
    assert await jobs_of(connection, delivery_id) == []


async def test_expired_retry_keeps_the_attempts_it_had(connection: Connection) -> None:
    soon = datetime.now(UTC) + timedelta(minutes=5)
    delivery_id = await ended(connection, "temporary", expires_at=soon)
    await move_clock(connection, timedelta(minutes=6))

    assert await claim(connection) == []

    row = await look(connection, delivery_id)
    assert (row["status"], row["suppression_reason"]) == ("cancelled", "expired")
    assert row["attempt_count"] == 1


async def test_delivery_that_expires_later_is_sent(connection: Connection) -> None:
    await insert(connection, expires_at=datetime.now(UTC) + timedelta(minutes=1))

    assert len(await claim(connection)) == 1


@pytest.mark.parametrize(
    "suppression",
    [{}, {"channel": "email"}, {"tenant_id": "acme"}, {"channel": "email", "tenant_id": "acme"}],
    ids=str,
)
async def test_suppressed_recipient_is_not_called(
    connection: Connection, suppression: dict[str, Any]
) -> None:
    await suppress(connection, **suppression)
    delivery_id = await insert(connection, tenant_id="acme")

    assert await claim(connection) == []

    row = await look(connection, delivery_id)
    (event,) = await events_of(connection, delivery_id)
    assert (row["status"], row["suppression_reason"]) == ("suppressed", "recipient_suppressed")
    assert row["attempt_count"] == 0
    assert (event["event"], event["actor"], event["reason"]) == (
        "suppressed",
        "daemon d1",
        "recipient_suppressed",
    )


@pytest.mark.parametrize(
    "suppression",
    [
        {"channel": "sms"},
        {"tenant_id": "umbrella"},
        {"expires_at": datetime.now(UTC) - timedelta(minutes=1)},
    ],
    ids=["another channel", "another tenant", "over"],
)
async def test_suppression_of_something_else_does_not_matter(
    connection: Connection, suppression: dict[str, Any]
) -> None:
    await suppress(connection, **suppression)
    await insert(connection, tenant_id="acme")

    assert len(await claim(connection)) == 1


async def test_suppressed_recipient_does_not_stop_the_others_of_the_batch(
    connection: Connection,
) -> None:
    await suppress(connection)
    await insert(connection)
    expired = await insert(
        connection, recipient="b", expires_at=datetime.now(UTC) - timedelta(seconds=1)
    )
    wanted = await insert(connection, recipient="c")

    (delivery,) = await claim(connection)

    assert delivery.delivery_id == wanted
    assert (await look(connection, expired))["status"] == "cancelled"
    assert await connection.fetchval("select open_count from chimeway.claims") == 1


async def test_suppression_with_a_reason_of_its_own_passes_it_on(connection: Connection) -> None:
    await connection.execute(
        "insert into chimeway.suppressions (recipient, reason, actor) "
        "values ('ada@example.org', 'unsubscribed', 'ada')"
    )
    delivery_id = await insert(connection)

    await claim(connection)

    assert (await look(connection, delivery_id))["suppression_reason"] == "unsubscribed"


async def test_disabled_channel_suppresses_what_waits_on_it(connection: Connection) -> None:
    await connection.execute("update chimeway.channels set enabled = false")
    delivery_id = await insert(connection)

    assert await claim(connection) == []

    row = await look(connection, delivery_id)
    assert (row["status"], row["suppression_reason"]) == ("suppressed", "channel_disabled")


async def test_delivery_that_expired_and_is_refused_counts_as_expired(
    connection: Connection,
) -> None:
    await suppress(connection)
    delivery_id = await insert(connection, expires_at=datetime.now(UTC) - timedelta(seconds=1))

    await claim(connection)

    row = await look(connection, delivery_id)
    assert (row["status"], row["suppression_reason"]) == ("cancelled", "expired")


async def test_refused_deliveries_do_not_look_like_the_end_of_the_queue(
    connection: Connection,
) -> None:
    """Whoever finds nothing sleeps as long as next_due says."""
    await connection.execute(
        "insert into chimeway.suppressions (recipient, actor) values ('gone', 'ops')"
    )
    for _ in range(10):
        await insert(connection, recipient="gone")
    await insert(connection)

    # A full look: one that is not must look again in any case.
    assert await claim(connection, slots=2, arm=True) == []

    is_expecting = await connection.fetchval(
        "select is_expecting from chimeway.next_due('{email}', true)"
    )
    assert is_expecting


async def test_reason_of_a_suppression_is_not_mistaken_for_the_end_of_the_delivery(
    connection: Connection,
) -> None:
    """An operator's own words: a consent that has expired, say."""
    await suppress(connection)
    await connection.execute("update chimeway.suppressions set reason = 'expired'")
    delivery_id = await insert(connection)

    assert await claim(connection) == []

    row = await look(connection, delivery_id)
    (event,) = await events_of(connection, delivery_id)
    assert (row["status"], row["suppression_reason"]) == ("suppressed", "expired")
    assert (event["event"], event["reason"]) == ("suppressed", "expired")
