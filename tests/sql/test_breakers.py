"""Breakers: open, tried by one delivery at a time, closed by one that gets through."""

from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from engine import (
    Bell,
    Connection,
    claim,
    configure,
    insert,
    look,
    move_clock,
    operate,
    record,
)

from chimewayd.models import OutcomeKind

pytestmark = pytest.mark.anyio

WAIT = timedelta(seconds=30)


@pytest.fixture(autouse=True)
async def channels(unchecked: Connection) -> None:
    """Configure channels email and sms."""
    await configure(unchecked)
    await configure(unchecked, "sms")


async def trip(connection: Connection, *claim_ids: int) -> bool:
    """Open the breaker of email for 30 s, at most for 100 s; tell whether that changed it."""
    changed: bool = await connection.fetchval(
        "select changed from chimeway.open_breaker('email', 'relay down', 'd1', $1, $2, $3)",
        WAIT,
        timedelta(seconds=100),
        claim_ids,
    )
    return changed


async def breaker(connection: Connection) -> asyncpg.Record | None:
    return await connection.fetchrow(
        "select b.*, chimeway.is_probing(b) as is_probing from chimeway.breakers as b"
    )


async def wait_left(connection: Connection) -> timedelta:
    left: timedelta = await connection.fetchval(
        "select retry_at - chimeway.clock() from chimeway.breakers"
    )
    return left


async def queue(connection: Connection, count: int) -> None:
    for _ in range(count):
        await insert(connection)


async def probe(connection: Connection) -> Any:
    """Queue three, open the breaker, wait, and claim what it lets through."""
    await queue(connection, 3)
    await trip(connection)
    await move_clock(connection, WAIT)
    (delivery,) = await claim(connection)
    return delivery


async def next_due(connection: Connection) -> timedelta | None:
    wait: timedelta | None = await connection.fetchval(
        "select due_in from chimeway.next_due(array['email', 'sms'], true)"
    )
    return wait


async def test_open_breaker_lets_nothing_through_and_costs_no_attempt(
    connection: Connection,
) -> None:
    delivery_id = await insert(connection)
    await trip(connection)

    assert await claim(connection) == []
    row = await look(connection, delivery_id)
    assert (row["status"], row["attempt_count"]) == ("pending", 0)


async def test_other_channels_go_on(connection: Connection) -> None:
    await insert(connection, channel="sms")
    await trip(connection)

    assert len(await claim(connection, "email", "sms")) == 1


async def test_one_delivery_tries_when_the_wait_is_over(
    connection: Connection, other: Connection
) -> None:
    await probe(connection)
    await move_clock(other, WAIT)

    assert await claim(connection) == []
    assert await claim(other, daemon_id=2) == []
    state = await breaker(connection)
    assert state is not None
    assert state["is_probing"]


async def test_two_daemons_at_once_get_one_probe(connection: Connection, other: Connection) -> None:
    await queue(connection, 3)
    await trip(connection)
    await move_clock(connection, WAIT)
    await move_clock(other, WAIT)

    async with connection.transaction():
        first = await claim(connection)
        second = await claim(other, daemon_id=2)

    assert (len(first), len(second)) == (1, 0)
    assert await claim(other, daemon_id=2) == []


@pytest.mark.parametrize("kind", OutcomeKind)
async def test_probe_decides(connection: Connection, kind: OutcomeKind) -> None:
    delivery = await probe(connection)

    await record(connection, delivery, kind)

    closes = kind in {"succeeded", "permanent", "bounced", "unsubscribed"}
    assert (await breaker(connection) is None) == closes
    # The others are for the same recipient, who may want nothing any more.
    goes_on = closes and kind != OutcomeKind.UNSUBSCRIBED
    assert len(await claim(connection)) == (2 if goes_on else 0)


async def test_each_failed_probe_doubles_the_wait_up_to_the_longest(
    connection: Connection,
) -> None:
    delivery = await probe(connection)
    at, waits = WAIT, []

    for _ in range(3):
        await record(connection, delivery, "timeout")
        waits.append((await wait_left(connection)).total_seconds())
        at += timedelta(seconds=101)
        await move_clock(connection, at)
        (delivery,) = await claim(connection)

    assert [round(wait) for wait in waits] == [60, 100, 100]


async def test_repeated_record_of_a_probe_judges_once(connection: Connection) -> None:
    delivery = await probe(connection)

    await record(connection, delivery, "temporary")
    verdict = await record(connection, delivery, "temporary")

    state = await breaker(connection)
    assert state is not None
    assert (verdict.verdict, state["failed_probes"]) == ("already_applied", 1)


async def test_calls_from_before_it_opened_say_nothing(connection: Connection) -> None:
    await queue(connection, 2)
    before = await claim(connection)
    await trip(connection)

    await record(connection, before[0], "succeeded")
    again = await trip(connection, before[1].claim_id)

    state = await breaker(connection)
    assert state is not None
    assert (again, state["failed_probes"]) == (False, 0)


async def test_probe_whose_provider_is_unavailable_has_failed(connection: Connection) -> None:
    delivery = await probe(connection)

    assert await trip(connection, delivery.claim_id)

    state = await breaker(connection)
    assert state is not None
    assert (state["failed_probes"], state["is_probing"]) == (1, False)
    assert await claim(connection) == []


async def test_probe_that_was_given_back_is_followed_by_another(connection: Connection) -> None:
    delivery = await probe(connection)
    await connection.execute(
        "select chimeway.release_unsent('d1', $1, $2, 'stopping')",
        [delivery.delivery_id],
        [delivery.claim_id],
    )

    assert len(await claim(connection)) == 1


async def test_probe_whose_daemon_died_is_followed_by_another(connection: Connection) -> None:
    await probe(connection)
    await move_clock(connection, WAIT + timedelta(minutes=2))
    await connection.execute("select chimeway.rescue(10)")

    assert len(await claim(connection)) == 1


async def test_probe_that_was_ended_without_a_call_is_none(connection: Connection) -> None:
    await trip(connection)
    await insert(connection, expires_at=await connection.fetchval("select now()"))
    await insert(connection)
    await move_clock(connection, WAIT)
    assert await claim(connection) == []

    assert len(await claim(connection)) == 1


async def test_sleep_ends_when_the_probe_may_go(connection: Connection) -> None:
    await queue(connection, 1)
    await trip(connection)

    wait = await next_due(connection)

    assert wait is not None
    assert timedelta(seconds=29) < wait <= WAIT


async def test_half_open_breaker_is_no_reason_to_wake(connection: Connection) -> None:
    await probe(connection)

    assert await next_due(connection) is None


@pytest.mark.parametrize("kind", ["succeeded", "temporary"])
async def test_end_of_a_probe_rings(connection: Connection, bell: Bell, kind: str) -> None:
    delivery = await probe(connection)
    await bell.rings()
    await bell.arm()

    await record(connection, delivery, kind)

    assert await bell.rings() == 1


async def test_operators_pause_stands_above_the_breaker(connection: Connection) -> None:
    await queue(connection, 1)
    await trip(connection)
    await operate(connection, "pause_channel", "email", "maintenance", "ada")
    await move_clock(connection, WAIT)

    assert await claim(connection) == []


async def test_explain_and_stats_tell_why_and_until_when(connection: Connection) -> None:
    await connection.execute(
        "select chimeway.heartbeat(1, 'd1', '1', array['email'], '{}', interval '1 min')"
    )
    waiting = await insert(connection)
    await trip(connection)

    said = await connection.fetchrow(
        "select * from chimeway.explain($1) where event = 'next'", waiting
    )
    row = await connection.fetchrow("select * from chimeway.stats() where channel = 'email'")

    assert said is not None
    assert row is not None
    state = await breaker(connection)
    assert state is not None
    assert said["what"].startswith("attempt 1 when its channel may call again (breaker, open), in")
    assert said["why"].startswith("daemon d1 opened the breaker of channel email at ")
    assert ": relay down; from " in said["why"]
    assert said["happened_at"] == row["limited_until"] == state["retry_at"]
    assert (row["limited_by"], row["limited_why"]) == ("breaker, open", said["why"])


async def test_explain_names_the_probe_that_the_others_wait_for(connection: Connection) -> None:
    delivery = await probe(connection)
    await connection.execute(
        "select chimeway.heartbeat(1, 'd1', '1', array['email'], '{}', interval '1 min')"
    )
    waiting = await connection.fetchval("select delivery_id from chimeway.jobs limit 1")

    said = await connection.fetchrow(
        "select * from chimeway.explain($1) where event = 'next'", waiting
    )

    assert said is not None
    assert said["what"] == "attempt 1 when its channel may call again (breaker, half-open)"
    assert said["why"].endswith(f"delivery {delivery.delivery_id} is trying whether it works again")
    assert said["happened_at"] is None
