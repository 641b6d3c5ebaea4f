"""follow_clock: a database clock that is set back delays no retry."""

from datetime import timedelta

import pytest
from engine import (
    Connection,
    claim,
    claim_one,
    configure,
    ended,
    insert,
    jobs_of,
    look,
    move_clock,
    operate,
    record,
)

pytestmark = pytest.mark.anyio

BACK = timedelta(hours=-2)
LONGEST_OPEN = timedelta(minutes=5)
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


async def open_breaker(connection: Connection) -> None:
    await connection.execute(
        "select chimeway.open_breaker('email', 'relay down', 'd1', interval '30 s', $1, '{}')",
        LONGEST_OPEN,
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


@pytest.mark.parametrize("what", ["released unsent", "deferred", "replayed", "held and released"])
async def test_what_we_dated_ourselves_moves_along(connection: Connection, what: str) -> None:
    daemon_id = await connection.fetchval(REGISTER)
    match what:
        case "released unsent" | "deferred":
            delivery = await claim_one(connection)
            delivery_id = delivery.delivery_id
            await connection.execute(
                "select chimeway.release_unsent('d1', $1, $2, 'why', $3)",
                [delivery_id],
                [delivery.claim_id],
                [timedelta(seconds=20)] if what == "deferred" else None,
            )
        case "replayed":
            delivery_id = await ended(connection, "permanent")
            await operate(connection, "replay", delivery_id, "ops")
        case _:
            delivery_id = await insert(connection)
            await operate(connection, "hold", delivery_id, "wait", "ops")
            await operate(connection, "release", delivery_id, "ops")
    await move_clock(connection, BACK)

    await beat(connection, daemon_id)

    await move_clock(connection, BACK + timedelta(seconds=21))
    (again,) = await claim(connection)
    assert again.delivery_id == delivery_id


async def test_retry_that_is_held_meanwhile_moves_along(connection: Connection) -> None:
    daemon_id = await connection.fetchval(REGISTER)
    delivery_id = await ended(connection, "temporary")
    await operate(connection, "hold", delivery_id, "wait", "ops")
    await move_clock(connection, BACK)

    await beat(connection, daemon_id)
    assert await claim(connection) == []
    await operate(connection, "release", delivery_id, "ops")

    await move_clock(connection, BACK + timedelta(seconds=31))
    assert len(await claim(connection)) == 1


async def test_schedule_stays_when_it_was_held_and_released(connection: Connection) -> None:
    daemon_id = await connection.fetchval(REGISTER)
    at = await connection.fetchval("select now() + interval '1 hour'")
    delivery_id = await insert(connection, scheduled_at=at)
    await operate(connection, "hold", delivery_id, "wait", "ops")
    await operate(connection, "release", delivery_id, "ops")
    await move_clock(connection, BACK)

    await beat(connection, daemon_id)

    assert (await jobs_of(connection, delivery_id))[0]["due_at"] == at


async def test_breaker_is_open_no_longer_than_it_should(connection: Connection) -> None:
    daemon_id = await connection.fetchval(REGISTER)
    await insert(connection)
    await open_breaker(connection)
    await move_clock(connection, BACK)

    await beat(connection, daemon_id)

    await move_clock(connection, BACK + timedelta(seconds=29))
    assert await claim(connection) == []
    await move_clock(connection, BACK + timedelta(seconds=31))
    assert len(await claim(connection)) == 1


async def test_step_that_no_daemon_saw_is_followed_by_the_next_one(connection: Connection) -> None:
    delivery = await claim_one(connection)
    await record(connection, delivery, "temporary")
    await move_clock(connection, BACK)

    await connection.execute(REGISTER)

    assert await claim(connection) == []
    await move_clock(connection, BACK + timedelta(seconds=31))
    (again,) = await claim(connection)
    assert again.delivery_id == delivery.delivery_id


async def test_step_that_no_daemon_saw_ends_the_wait_of_a_breaker(connection: Connection) -> None:
    await insert(connection)
    await open_breaker(connection)
    await move_clock(connection, BACK)

    await connection.execute(REGISTER)

    await move_clock(connection, BACK + LONGEST_OPEN + timedelta(seconds=1))
    assert len(await claim(connection)) == 1


async def test_daemon_that_a_crash_forgot_follows_the_standby_s_clock(
    connection: Connection,
) -> None:
    daemon_id = await connection.fetchval(REGISTER)
    delivery = await claim_one(connection)
    await record(connection, delivery, "temporary")
    await connection.execute("delete from chimeway.daemons")
    await move_clock(connection, BACK)

    await beat(connection, daemon_id)

    await move_clock(connection, BACK + timedelta(seconds=31))
    assert len(await claim(connection)) == 1


async def test_step_is_followed_once_however_often_daemons_begin(connection: Connection) -> None:
    delivery = await claim_one(connection)
    await record(connection, delivery, "temporary")
    await move_clock(connection, BACK)
    await connection.execute(REGISTER)
    before = await look(connection, delivery.delivery_id)

    await move_clock(connection, BACK + timedelta(seconds=20))
    await connection.execute(REGISTER)

    assert await look(connection, delivery.delivery_id) == before


async def test_daemon_that_is_gone_does_not_live_on_by_its_last_heartbeat(
    connection: Connection,
) -> None:
    gone = await connection.fetchval(REGISTER)
    await move_clock(connection, BACK)

    await connection.execute(REGISTER)

    await move_clock(connection, BACK + timedelta(minutes=1))
    silent_for = await connection.fetchval(
        "select chimeway.clock() - heartbeat_at from chimeway.daemons where id = $1", gone
    )
    assert silent_for >= timedelta(minutes=1)


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


async def test_what_was_dated_after_the_step_waits_as_it_should(connection: Connection) -> None:
    daemon_id = await connection.fetchval(REGISTER)
    delivery = await claim_one(connection)
    await move_clock(connection, BACK)
    await record(connection, delivery, "throttled", retry_after=timedelta(hours=1))
    await move_clock(connection, BACK + timedelta(seconds=9))

    await beat(connection, daemon_id)

    await move_clock(connection, BACK + timedelta(minutes=59))
    assert await claim(connection) == []


async def test_insert_whose_transaction_began_before_the_step_goes_out_at_once(
    connection: Connection,
) -> None:
    async with connection.transaction():
        await move_clock(connection, BACK)
        await insert(connection)

    assert len(await claim(connection)) == 1


async def test_session_whose_claims_went_further_than_the_clock_sees_what_falls_due(
    connection: Connection,
) -> None:
    daemon_id = await connection.fetchval(REGISTER)
    await ended(connection, "temporary")
    await move_clock(connection, timedelta(minutes=1))
    (retry,) = await claim(connection)
    await record(connection, retry, "succeeded")
    await move_clock(connection, BACK)
    await beat(connection, daemon_id)
    await record(connection, await claim_one(connection), "temporary")

    due_in = await connection.fetchval("select due_in from chimeway.next_due('{email}', true)")
    await move_clock(connection, BACK + timedelta(minutes=1))

    assert due_in is not None
    assert len(await claim(connection)) == 1
