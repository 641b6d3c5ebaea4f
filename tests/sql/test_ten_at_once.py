"""Ten sessions that all want the same delivery: one of them, or none, gets it."""

from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any

import anyio
import pytest
from engine import (
    Connection,
    attempts_of,
    blocked,
    claim,
    claim_one,
    configure,
    delivery_in,
    events_of,
    jobs_of,
    look,
    move_clock,
    operate,
    record,
)

from chimewayd.models import Delivery, Status

pytestmark = pytest.mark.anyio

SESSIONS = 10
INSERT_ONCE = """
insert into chimeway.deliveries (channel, recipient, payload, tenant_id, idempotency_key)
values ('email', 'ada@example.org', '{}', 'acme', 'order-1')
on conflict do nothing
"""


@pytest.fixture
async def ten(
    unchecked: Connection, connect: Callable[[], Awaitable[Connection]]
) -> list[Connection]:
    """Ten further sessions, and a configured channel."""
    await configure(unchecked)
    return [await connect() for _ in range(SESSIONS)]


async def at_once(
    ten: list[Connection], call: Callable[[Connection], Coroutine[Any, Any, object]]
) -> None:
    async with anyio.create_task_group() as group:
        for session in ten:
            group.start_soon(call, session)


async def test_ten_inserts_of_one_key_make_one_row_one_job_and_one_call(
    connection: Connection, ten: list[Connection]
) -> None:
    calls: list[Delivery] = []

    async def deliver(session: Connection) -> None:
        for delivery in await claim(session):
            calls.append(delivery)
            await record(session, delivery)

    await at_once(ten, lambda session: session.execute(INSERT_ONCE))
    (delivery_id,) = [
        row["id"] for row in await connection.fetch("select id from chimeway.deliveries")
    ]
    jobs = await jobs_of(connection, delivery_id)
    await at_once(ten, deliver)

    assert len(jobs) == 1
    assert [delivery.delivery_id for delivery in calls] == [delivery_id]
    assert len(await attempts_of(connection, delivery_id)) == 1


@pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.SUPPRESSED, Status.CANCELLED])
async def test_ten_executors_of_a_terminal_delivery_change_nothing(
    connection: Connection, ten: list[Connection], status: Status
) -> None:
    delivery_id = await delivery_in(connection, status)
    before = dict(await look(connection, delivery_id))
    attempts = await attempts_of(connection, delivery_id)
    events = await events_of(connection, delivery_id)
    calls: list[Delivery] = []

    async def execute(session: Connection) -> None:
        calls.extend(await claim(session))
        await session.execute("select chimeway.rescue(10)")
        await session.execute("select chimeway.expire('-infinity', 10)")
        answer = await operate(session, "cancel", delivery_id, "too late", "ops")
        assert not answer["changed"]

    await at_once(ten, execute)

    assert calls == []
    assert dict(await look(connection, delivery_id)) == before
    assert await attempts_of(connection, delivery_id) == attempts
    assert await events_of(connection, delivery_id) == events


async def test_replay_during_a_rescue_begins_after_it(
    connection: Connection, ten: list[Connection]
) -> None:
    other = ten[0]
    delivery = await claim_one(connection, max_attempts=1)
    await move_clock(connection, timedelta(minutes=2))
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("select chimeway.rescue(10)")

    async with blocked(
        connection, other, lambda: operate(other, "replay", delivery.delivery_id, "ops")
    ) as answers:
        await transaction.commit()

    row = await look(connection, delivery.delivery_id)
    assert answers[0]["changed"]
    assert (row["status"], row["series"], row["attempts_before"]) == ("pending", 2, 1)
    assert len(await jobs_of(connection, delivery.delivery_id)) == 1
