"""next_due: how long a daemon with nothing to do may sleep."""

from datetime import UTC, datetime, timedelta

import pytest
from engine import Connection, claim, claim_one, configure, insert, move_clock, operate, record

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
async def channels(unchecked: Connection) -> None:
    """Configure channels email and sms."""
    await configure(unchecked)
    await configure(unchecked, "sms")


async def next_due(connection: Connection, *channels: str) -> timedelta | None:
    wait: timedelta | None = await connection.fetchval(
        "select due_in from chimeway.next_due($1, true)", channels or ("email", "sms")
    )
    return wait


async def arm(connection: Connection) -> None:
    """Arm the bell with a full look."""
    await connection.execute("set chimeway.floors = ''")
    await claim(connection, arm=True)


async def is_expecting(connection: Connection) -> bool:
    answer: bool = await connection.fetchval(
        "select is_expecting from chimeway.next_due(array['email'], true)"
    )
    return answer


def within(**span: float) -> datetime:
    return datetime.now(UTC) + timedelta(**span)


async def test_empty_queue_has_no_next(connection: Connection) -> None:
    assert await next_due(connection) is None


async def test_nearest_of_all_channels_and_priorities_is_next(connection: Connection) -> None:
    await insert(connection, scheduled_at=within(hours=3))
    await insert(connection, scheduled_at=within(hours=2), priority=9)
    await insert(connection, scheduled_at=within(hours=1), channel="sms", priority=-9)

    wait = await next_due(connection)

    assert wait is not None
    assert timedelta(minutes=59) < wait <= timedelta(hours=1)


async def test_retry_counts(connection: Connection) -> None:
    await record(connection, await claim_one(connection), "temporary")

    wait = await next_due(connection)

    assert wait is not None
    assert timedelta() < wait <= timedelta(seconds=30)


async def test_moment_that_has_come_is_no_wait_at_all(connection: Connection) -> None:
    await insert(connection, scheduled_at=within(hours=1))
    await move_clock(connection, timedelta(hours=2))

    assert await next_due(connection) == timedelta()


async def test_what_was_due_from_the_start_does_not_count(connection: Connection) -> None:
    await insert(connection)

    assert await next_due(connection) is None


async def test_held_delivery_does_not_count(connection: Connection) -> None:
    delivery_id = await insert(connection, scheduled_at=within(hours=1))
    await operate(connection, "hold", delivery_id, "wait", "ops")

    assert await next_due(connection) is None


async def test_paused_channel_does_not_count(connection: Connection) -> None:
    await insert(connection, scheduled_at=within(hours=1))
    await operate(connection, "pause_channel", "email", "relay down", "ops")

    assert await next_due(connection) is None


async def test_channel_that_was_not_asked_for_does_not_count(connection: Connection) -> None:
    await insert(connection, scheduled_at=within(hours=1))

    assert await next_due(connection, "sms") is None


@pytest.mark.parametrize("end", ["commit", "rollback"])
async def test_arming_expects_a_transaction_that_inserted_before_until_it_ends(
    connection: Connection, other: Connection, end: str
) -> None:
    transaction = other.transaction()
    await transaction.start()
    await insert(other)
    await claim(connection, arm=True)

    assert await is_expecting(connection)

    await getattr(transaction, end)()
    await arm(connection)
    assert not await is_expecting(connection)


async def test_arming_without_a_full_look_expects_anything(connection: Connection) -> None:
    await arm(connection)
    await connection.execute(
        """
        select set_config('chimeway.floors', jsonb_set(
          current_setting('chimeway.floors')::jsonb, '{full_seconds}', '60')::text, false)
        """
    )

    await claim(connection, arm=True)

    assert await is_expecting(connection)


async def test_claim_that_does_not_arm_leaves_what_is_expected(
    connection: Connection, other: Connection
) -> None:
    await arm(connection)
    async with other.transaction():
        await insert(other)
        await claim(connection)

        assert not await is_expecting(connection)


async def test_session_that_never_armed_expects_anything(connection: Connection) -> None:
    await connection.execute("set chimeway.is_expecting = ''")

    assert await is_expecting(connection)
