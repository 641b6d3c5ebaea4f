"""Breakers that open while somebody claims."""

from datetime import timedelta

import pytest
from engine import Connection, blocked, claim, configure, insert, move_clock, record

from chimewayd.models import OutcomeKind

pytestmark = pytest.mark.anyio

OPEN = """
select chimeway.open_breaker(
  'email', 'relay down', 'd1', interval '30 seconds', interval '100 seconds', '{}')
"""
IS_PROBING = "select chimeway.is_probing(b) from chimeway.breakers as b"
PROBE = "select probe_claim_id from chimeway.breakers"


async def test_claim_that_it_opens_upon_holds_no_probe(
    connection: Connection, other: Connection
) -> None:
    await configure(connection)
    # What looks at breakers at all is a claim of a channel that has one, or a rate.
    await configure(connection, "sms", rate_calls=1, rate_per=timedelta(minutes=1), rate_burst=1)
    delivery_id = await insert(connection)

    async with connection.transaction():
        lock = "select from chimeway.deliveries where id = $1 for update"
        await connection.execute(lock, delivery_id)
        async with blocked(connection, other, lambda: claim(other, "email", "sms")) as answers:
            await connection.execute(OPEN)
            await connection.execute("commit; begin")

    assert [[d.delivery_id for d in taken] for taken in answers] == [[delivery_id]]
    assert await connection.fetchval(IS_PROBING) is False


@pytest.mark.parametrize("kind", ["temporary", "succeeded"])
async def test_lost_probe_does_not_speak_for_the_one_after_it(
    connection: Connection, other: Connection, kind: OutcomeKind
) -> None:
    await configure(connection)
    await insert(connection)
    await insert(connection)
    await connection.execute(OPEN)
    await move_clock(connection, timedelta(seconds=30))
    (lost,) = await claim(connection)
    for session in (connection, other):
        await move_clock(session, timedelta(minutes=5))
    await connection.execute("select chimeway.rescue(10)")

    async with connection.transaction():
        (next_one,) = await claim(connection, daemon_id=2)
        async with blocked(connection, other, lambda: record(other, lost, kind)) as answers:
            assert answers == []
            await connection.execute("commit; begin")

    assert [answer.verdict for answer in answers] == ["stale"]
    assert await connection.fetchval(IS_PROBING) is True
    assert await connection.fetchval(PROBE) == next_one.claim_id
