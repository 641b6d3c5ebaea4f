"""follow_clock: a database clock that is set back delays no retry."""

from datetime import timedelta

import pytest
from engine import Connection, claim, claim_one, configure, insert, look, move_clock, record

pytestmark = pytest.mark.anyio

BACK = timedelta(hours=-2)
REGISTER = "select chimeway.register_daemon('d1', '0.1', array['email'])"


@pytest.fixture(autouse=True)
async def channel(unchecked: Connection) -> None:
    """Configure channel email: the first retry after 30 seconds."""
    await configure(unchecked)


async def beat(connection: Connection, daemon_id: int) -> None:
    await connection.execute(
        "select chimeway.heartbeat($1, 'd1', '0.1', array['email'], '{}', interval '1 minute')",
        daemon_id,
    )


async def test_retry_waits_no_longer_than_it_should(connection: Connection) -> None:
    daemon_id = await connection.fetchval(REGISTER)
    delivery = await claim_one(connection)
    await record(connection, delivery, "temporary")
    await move_clock(connection, BACK)

    await beat(connection, daemon_id)

    assert await claim(connection) == []
    await move_clock(connection, BACK + timedelta(seconds=31))
    (again,) = await claim(connection)
    assert again.delivery_id == delivery.delivery_id


async def test_step_is_followed_once_however_many_daemons_beat(connection: Connection) -> None:
    daemons = [await connection.fetchval(REGISTER) for _ in range(3)]
    delivery = await claim_one(connection)
    await record(connection, delivery, "temporary")
    await move_clock(connection, BACK)

    await beat(connection, daemons[0])
    due = (await look(connection, delivery.delivery_id))["next_attempt_at"]
    for daemon_id in daemons:
        await beat(connection, daemon_id)

    assert (await look(connection, delivery.delivery_id))["next_attempt_at"] == due


async def test_schedule_means_the_clock_and_stays(connection: Connection) -> None:
    daemon_id = await connection.fetchval(REGISTER)
    at = await connection.fetchval("select now() + interval '1 hour'")
    delivery_id = await insert(connection, scheduled_at=at)
    await move_clock(connection, BACK)

    await beat(connection, daemon_id)

    due = await connection.fetchval(
        "select due_at from chimeway.jobs where delivery_id = $1", delivery_id
    )
    assert due == at


async def test_clock_that_goes_on_moves_nothing(connection: Connection) -> None:
    daemon_id = await connection.fetchval(REGISTER)
    delivery = await claim_one(connection)
    await record(connection, delivery, "temporary")
    before = await look(connection, delivery.delivery_id)
    await move_clock(connection, timedelta(seconds=10))

    await beat(connection, daemon_id)

    assert await look(connection, delivery.delivery_id) == before
