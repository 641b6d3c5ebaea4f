"""Breakers that open while somebody claims."""

from datetime import timedelta

import pytest
from engine import Connection, blocked, claim, configure, insert

pytestmark = pytest.mark.anyio

OPEN = """
select chimeway.open_breaker(
  'email', 'relay down', 'd1', interval '30 seconds', interval '100 seconds', '{}')
"""
IS_PROBING = "select chimeway.is_probing(b) from chimeway.breakers as b"


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
