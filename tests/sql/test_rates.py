"""Rates: calls are paid for at claim, by all daemons from one purse."""

from datetime import timedelta
from typing import Any

import pytest
from engine import (
    Connection,
    blocked,
    claim,
    configure,
    insert,
    look,
    move_clock,
    record,
)

pytestmark = pytest.mark.anyio

FAR = timedelta(days=1)


async def limit(connection: Connection, name: str = "email", **rate: Any) -> None:
    """Give a channel a rate: a call in 6 s, two at once, but for what is given."""
    given = {"rate_calls": 10, "rate_per": timedelta(minutes=1), "rate_burst": 2} | rate
    await configure(connection, name, **given)


async def queue(connection: Connection, count: int, channel: str = "email") -> None:
    for _ in range(count):
        await insert(connection, channel=channel)


async def next_due(connection: Connection) -> timedelta | None:
    wait: timedelta | None = await connection.fetchval(
        "select due_in from chimeway.next_due(array['email', 'sms'], true)"
    )
    return wait


async def next_of(connection: Connection, delivery_id: object) -> dict[str, Any]:
    row = await connection.fetchrow(
        "select * from chimeway.explain($1) where event = 'next'", delivery_id
    )
    assert row is not None
    return dict(row)


async def test_claim_takes_no_more_than_the_burst(connection: Connection) -> None:
    await limit(connection)
    await queue(connection, 5)

    assert len(await claim(connection)) == 2
    assert await claim(connection) == []


async def test_each_gap_frees_one_more_call_up_to_the_burst(connection: Connection) -> None:
    await limit(connection)
    await queue(connection, 9)
    await move_clock(connection, FAR)
    await claim(connection)

    taken = []
    for seconds in (5.9, 6.1, 11.9, 12.1, 100):
        await move_clock(connection, FAR + timedelta(seconds=seconds))
        taken.append(len(await claim(connection)))

    assert taken == [0, 1, 0, 1, 2]


async def test_slots_that_are_not_used_cost_nothing(connection: Connection) -> None:
    await limit(connection)
    await claim(connection)
    await queue(connection, 1)
    await claim(connection)
    await queue(connection, 2)

    assert len(await claim(connection)) == 1


async def test_what_is_ended_without_a_call_costs_nothing(connection: Connection) -> None:
    await limit(connection)
    await insert(connection, expires_at=await connection.fetchval("select now()"))
    await insert(connection)
    assert len(await claim(connection)) == 1
    await queue(connection, 2)

    assert len(await claim(connection)) == 1


async def test_deferral_uses_no_attempt_and_keeps_the_place(connection: Connection) -> None:
    await limit(connection, rate_burst=1)
    first, second = await insert(connection), await insert(connection)

    (taken,) = await claim(connection)

    assert taken.delivery_id == first
    row = await look(connection, second)
    assert (row["status"], row["attempt_count"]) == ("pending", 0)


async def test_another_channel_is_not_held_up(connection: Connection) -> None:
    await limit(connection, rate_burst=1)
    await configure(connection, "sms")
    await queue(connection, 3)
    await queue(connection, 3, "sms")

    taken = await claim(connection, "email", "sms")

    assert sorted(delivery.channel for delivery in taken) == ["email", "sms", "sms", "sms"]


async def test_two_daemons_share_one_purse(connection: Connection, other: Connection) -> None:
    await limit(connection, rate_burst=3)
    await queue(connection, 9)

    async with connection.transaction():
        first = await claim(connection, slots=2)
        async with blocked(connection, other, lambda: claim(other, daemon_id=2)) as answers:
            assert answers == []
            await connection.execute("commit; begin")

    assert (len(first), [len(answer) for answer in answers]) == (2, [1])


async def test_claim_that_began_before_others_paid_finds_nothing_free(
    connection: Connection, other: Connection
) -> None:
    await limit(connection, rate_burst=3)
    await queue(connection, 9)

    async with connection.transaction():
        await connection.execute("select from chimeway.rates for update")
        async with blocked(connection, other, lambda: claim(other, daemon_id=2)) as answers:
            first = await claim(connection)
            await connection.execute("commit; begin")

    assert (len(first), [len(answer) for answer in answers]) == (3, [0])


async def test_retry_is_a_call_like_any_other(connection: Connection) -> None:
    await limit(connection, rate_burst=1, backoff_base=timedelta(milliseconds=1))
    await insert(connection)
    (delivery,) = await claim(connection)
    await record(connection, delivery, "temporary")

    assert await claim(connection) == []
    await move_clock(connection, timedelta(seconds=7))
    assert len(await claim(connection)) == 1


async def test_sleep_ends_when_the_next_call_is_free(connection: Connection) -> None:
    await limit(connection, rate_burst=1)
    await queue(connection, 2)
    await claim(connection)

    wait = await next_due(connection)

    assert wait is not None
    assert timedelta(seconds=5) < wait <= timedelta(seconds=6)


async def test_call_that_became_free_since_the_last_look_is_not_slept_through(
    connection: Connection,
) -> None:
    await limit(connection, rate_burst=1)
    await queue(connection, 2)
    await claim(connection)
    await move_clock(connection, timedelta(seconds=10))

    wait = await next_due(connection)

    assert wait is not None
    assert wait <= timedelta(milliseconds=50)


async def test_free_call_with_nothing_to_do_is_no_reason_to_wake(connection: Connection) -> None:
    await limit(connection, rate_burst=1)
    await queue(connection, 1)
    await claim(connection)

    assert await next_due(connection) is None


async def test_calls_of_a_quick_rate_are_claimed_together(connection: Connection) -> None:
    await limit(connection, rate_calls=1000, rate_per=timedelta(seconds=1), rate_burst=1000)
    await queue(connection, 1)
    await connection.execute(
        "update chimeway.rates set paid_until = clock_timestamp() + interval '1 s'"
    )

    wait = await next_due(connection)

    assert wait is not None
    assert timedelta(milliseconds=20) < wait <= timedelta(milliseconds=50)


async def test_small_burst_of_a_quick_rate_is_not_all_that_there_is_in_a_longer_sleep(
    connection: Connection,
) -> None:
    await limit(connection, rate_calls=100, rate_per=timedelta(seconds=1), rate_burst=1)
    await queue(connection, 2)
    await claim(connection)

    wait = await next_due(connection)

    assert wait is not None
    assert wait <= timedelta(milliseconds=10)


async def test_retry_that_is_due_later_than_the_next_call_decides(connection: Connection) -> None:
    await limit(connection, rate_burst=1)
    await insert(connection)
    (delivery,) = await claim(connection)
    await record(connection, delivery, "temporary")

    wait = await next_due(connection)

    assert wait is not None
    assert timedelta(seconds=29) < wait <= timedelta(seconds=30)


async def test_clock_that_was_set_back_stops_nobody(connection: Connection) -> None:
    await limit(connection)
    await queue(connection, 4)
    await move_clock(connection, FAR)
    assert len(await claim(connection)) == 2

    await move_clock(connection, timedelta())

    assert len(await claim(connection)) == 2


async def test_small_step_back_of_the_clock_lends_nothing(connection: Connection) -> None:
    await limit(connection)
    await queue(connection, 4)
    await move_clock(connection, FAR)
    assert len(await claim(connection)) == 2

    await move_clock(connection, FAR - timedelta(milliseconds=500))

    assert await claim(connection) == []


async def test_rate_that_is_taken_away_limits_nobody(connection: Connection) -> None:
    await limit(connection)
    await queue(connection, 5)
    await claim(connection)

    await configure(connection)

    assert len(await claim(connection)) == 3
    assert await connection.fetchval("select count(*) from chimeway.rates") == 0


async def test_new_configuration_forgets_no_call(connection: Connection) -> None:
    await limit(connection)
    await queue(connection, 5)
    await claim(connection)

    await limit(connection)

    assert await claim(connection) == []


async def test_explain_says_which_rate_and_until_when(connection: Connection) -> None:
    await limit(connection, rate_burst=1)
    await connection.execute(
        "select chimeway.heartbeat(1, 'd1', '1', array['email'], '{}', interval '1 min')"
    )
    await insert(connection)
    waiting = await insert(connection)
    await claim(connection)

    said = await next_of(connection, waiting)

    assert said["what"].startswith("attempt 1 when its channel may call again (rate), in ")
    assert said["why"] == "channel email may make 10 calls in 60 s, at most 1 at once"
    assert said["happened_at"] == await connection.fetchval("select paid_until from chimeway.rates")


async def test_stats_say_what_limits_a_channel(connection: Connection) -> None:
    await limit(connection, rate_burst=1)
    await configure(connection, "sms")
    await queue(connection, 2)
    await claim(connection)

    rows = await connection.fetch("select channel, limited_by from chimeway.stats() order by 1")

    assert [tuple(row) for row in rows] == [("email", "rate"), ("sms", None)]
