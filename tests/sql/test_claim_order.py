"""claim: what is due, in order, as far as there are slots."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from engine import (
    Connection,
    claim,
    configure,
    insert,
    move_clock,
)

from chimewayd.models import Delivery

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
async def channel(unchecked: Connection) -> None:
    """Configure channel email."""
    await configure(unchecked)


def ids(deliveries: Sequence[Delivery]) -> list[UUID]:
    return [delivery.delivery_id for delivery in deliveries]


async def test_claim_skips_deliveries_that_are_not_due(connection: Connection) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    delivery_id = await insert(connection, scheduled_at=later)

    assert await claim(connection) == []

    await move_clock(connection, timedelta(hours=1, seconds=1))
    assert ids(await claim(connection)) == [delivery_id]


async def test_clock_set_back_does_not_delay_what_was_due_at_once(connection: Connection) -> None:
    delivery_id = await insert(connection)
    await move_clock(connection, timedelta(hours=-1))

    assert ids(await claim(connection)) == [delivery_id]


async def test_claim_takes_priority_then_due_time_then_insertion(connection: Connection) -> None:
    now = datetime.now(UTC)
    last = await insert(connection, priority=5)
    late = await insert(connection, scheduled_at=now + timedelta(minutes=2))
    early = await insert(connection, scheduled_at=now + timedelta(minutes=1))
    first, second = await insert(connection), await insert(connection)
    urgent = await insert(connection, priority=-5, scheduled_at=now + timedelta(minutes=3))
    await move_clock(connection, timedelta(minutes=5))

    claimed = [ids(await claim(connection, slots=1))[0] for _ in range(6)]

    assert claimed == [urgent, first, second, early, late, last]


@pytest.mark.parametrize("slots", [1, 5])
async def test_flood_of_inserts_and_flood_of_retries_both_go_on(
    connection: Connection, slots: int
) -> None:
    due = datetime.now(UTC) + timedelta(minutes=1)
    later = {await insert(connection, scheduled_at=due) for _ in range(20)}
    at_once = {await insert(connection) for _ in range(20)}
    await move_clock(connection, timedelta(minutes=2))

    claimed = [{d.delivery_id for d in await claim(connection, slots=slots)} for _ in range(4)]

    assert sum(one <= at_once for one in claimed) == 3
    assert sum(one <= later for one in claimed) == 1


async def test_rows_of_a_claim_come_in_order(connection: Connection) -> None:
    expected = [await insert(connection, priority=p) for p in (-1, 0, 0, 7)]

    assert ids(await claim(connection)) == expected


async def test_claim_keeps_within_the_slots_of_each_channel(connection: Connection) -> None:
    await configure(connection, "sms")
    for channel in ("email", "sms"):
        for priority in (0, 0, 1, 2):
            await insert(connection, channel=channel, priority=priority)

    claimed = await claim(connection, "email", "sms", slots=[3, 2])

    assert [d.channel for d in claimed].count("email") == 3
    assert [d.channel for d in claimed].count("sms") == 2


async def test_claim_keeps_within_its_limit(connection: Connection) -> None:
    await configure(connection, "sms")
    for channel in ("email", "sms"):
        await insert(connection, channel=channel)
        await insert(connection, channel=channel)

    claimed = await claim(connection, "email", "sms", limit=3)

    assert [d.channel for d in claimed] == ["email", "email", "sms"]


async def test_full_channel_does_not_block_another(connection: Connection) -> None:
    await configure(connection, "sms")
    await insert(connection)
    text = await insert(connection, channel="sms", priority=9)

    assert ids(await claim(connection, "email", "sms", slots=[0, 1])) == [text]
