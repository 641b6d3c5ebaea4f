"""replay: a new series of attempts for a terminal delivery, the only way back."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from engine import (
    Bell,
    Connection,
    attempts_of,
    claim,
    configure,
    delivery_in,
    ended,
    events_of,
    insert,
    jobs_of,
    look,
    move_clock,
    operate,
    record,
)

from chimewayd.errors import TransitionRefused
from chimewayd.models import Status

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
async def channel(unchecked: Connection) -> None:
    """Configure channel email."""
    await configure(unchecked)


async def test_replayed_delivery_is_due_at_once_and_rings(
    connection: Connection, bell: Bell
) -> None:
    delivery_id = await delivery_in(connection, Status.CANCELLED)
    await bell.rings()
    await bell.arm()

    answer = await operate(connection, "replay", delivery_id, "ops")

    assert tuple(answer) == (True, "pending", "was cancelled, is pending again")
    assert len(await jobs_of(connection, delivery_id)) == 1
    assert await bell.rings() == 1
    assert len(await claim(connection)) == 1


async def test_replay_clears_how_it_ended(connection: Connection) -> None:
    delivery_id = await ended(connection, "permanent")

    await operate(connection, "replay", delivery_id, "ops")

    row = await look(connection, delivery_id)
    assert (row["status"], row["suppression_reason"], row["finished_at"]) == ("pending", None, None)
    assert (row["series"], row["attempt_count"], row["attempts_before"]) == (2, 1, 1)


async def test_replay_goes_on_counting_attempts_with_a_new_budget(connection: Connection) -> None:
    delivery_id = await insert(connection, max_attempts=2)
    for hour in range(2):
        await move_clock(connection, timedelta(hours=hour))
        (delivery,) = await claim(connection)
        await record(connection, delivery, "temporary")
    assert (await look(connection, delivery_id))["suppression_reason"] == "retries_exhausted"

    await operate(connection, "replay", delivery_id, "ops")
    (third,) = await claim(connection)
    verdict = await record(connection, third, "temporary")

    row = await look(connection, delivery_id)
    attempts = await attempts_of(connection, delivery_id)
    assert (third.attempt_number, third.attempts_before) == (3, 2)
    assert verdict.status == "failed"
    assert row["next_attempt_at"] - row["updated_at"] == timedelta(seconds=30)
    assert [(a["attempt_number"], a["series"]) for a in attempts] == [(1, 1), (2, 1), (3, 2)]


async def test_replay_of_a_success_needs_force(connection: Connection) -> None:
    delivery_id = await delivery_in(connection, Status.SUCCEEDED)
    with pytest.raises(TransitionRefused, match="from succeeded to pending: it was sent"):
        await operate(connection, "replay", delivery_id, "ops")

    await operate(connection, "replay", delivery_id, "ops", True)  # noqa: FBT003 - SQL's third argument
    (delivery,) = await claim(connection)
    await record(connection, delivery)

    outcomes = [row["outcome"] for row in await attempts_of(connection, delivery_id)]
    assert outcomes == ["succeeded", "succeeded"]


async def test_replay_is_told_in_the_history(connection: Connection) -> None:
    delivery_id = await ended(connection, "bounced")

    await operate(connection, "replay", delivery_id, "ada")

    (event,) = await events_of(connection, delivery_id)
    assert (event["event"], event["actor"], event["reason"]) == ("replayed", "ada", "bounced")
    assert json.loads(event["facts"]) == {"from": "cancelled", "series": 2}


async def test_replay_of_an_expired_delivery_does_not_expire_again(connection: Connection) -> None:
    delivery_id = await insert(connection, expires_at=datetime.now(UTC) - timedelta(minutes=1))
    await claim(connection)

    await operate(connection, "replay", delivery_id, "ops")

    assert len(await claim(connection)) == 1


async def test_replay_keeps_an_expiry_that_is_still_to_come(connection: Connection) -> None:
    expires_at = datetime.now(UTC) + timedelta(hours=1)
    delivery_id = await ended(connection, "permanent", expires_at=expires_at)

    await operate(connection, "replay", delivery_id, "ops")

    assert (await look(connection, delivery_id))["expires_at"] == expires_at


async def test_max_age_counts_from_the_replay(connection: Connection) -> None:
    await configure(connection, max_age=timedelta(hours=1))
    delivery_id = await ended(connection, "permanent")
    await move_clock(connection, timedelta(days=2))

    await operate(connection, "replay", delivery_id, "ops")
    (delivery,) = await claim(connection)

    assert (await record(connection, delivery, "temporary")).status == "failed"


async def test_delivery_is_replayed_as_often_as_it_ends(connection: Connection) -> None:
    delivery_id = await ended(connection, "permanent")

    for series in (2, 3):
        await operate(connection, "replay", delivery_id, "ops")
        (delivery,) = await claim(connection)
        await record(connection, delivery, "permanent")
        assert (await look(connection, delivery_id))["series"] == series
