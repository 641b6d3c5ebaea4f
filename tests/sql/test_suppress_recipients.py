"""record: a recipient who asks for nothing more gets nothing more."""

import pytest
from engine import Connection, claim, claim_one, configure, insert, look, record

pytestmark = pytest.mark.anyio

BARRED = """
select recipient, channel, tenant_id, reason, actor, expires_at from chimeway.suppressions
"""


async def test_unsubscribed_recipient_is_suppressed_on_the_channel(connection: Connection) -> None:
    await configure(connection)
    delivery = await claim_one(connection, recipient="ada", tenant_id="acme")

    await record(connection, delivery, "unsubscribed")

    (row,) = await connection.fetch(BARRED)
    assert tuple(row) == (
        "ada",
        delivery.channel,
        "acme",
        "recipient_suppressed",
        f"the recipient, by delivery {delivery.delivery_id}",
        None,
    )


async def test_next_delivery_to_an_unsubscribed_recipient_makes_no_call(
    connection: Connection,
) -> None:
    await configure(connection)
    await record(connection, await claim_one(connection, recipient="ada"), "unsubscribed")

    again = await insert(connection, recipient="ada")
    other = await insert(connection, recipient="bob")
    claimed = await claim(connection)

    row = await look(connection, again)
    assert [delivery.delivery_id for delivery in claimed] == [other]
    assert (row["status"], row["suppression_reason"]) == ("suppressed", "recipient_suppressed")


async def test_recipient_who_is_suppressed_already_stays_as_they_are(
    connection: Connection,
) -> None:
    await configure(connection)
    delivery = await claim_one(connection, recipient="ada")
    await connection.execute(
        "insert into chimeway.suppressions (recipient, channel, reason, actor)"
        " values ('ada', $1, 'asked by mail', 'ops')",
        delivery.channel,
    )

    await record(connection, delivery, "unsubscribed")

    (row,) = await connection.fetch(BARRED)
    assert (row["reason"], row["actor"]) == ("asked by mail", "ops")


async def test_suppression_that_has_expired_begins_anew(connection: Connection) -> None:
    await configure(connection)
    delivery = await claim_one(connection, recipient="ada")
    await connection.execute(
        "insert into chimeway.suppressions (recipient, channel, actor, expires_at)"
        " values ('ada', $1, 'ops', now() - interval '1 day')",
        delivery.channel,
    )

    await record(connection, delivery, "unsubscribed")

    (row,) = await connection.fetch(BARRED)
    assert row["expires_at"] is None
    assert row["actor"].startswith("the recipient")


@pytest.mark.parametrize("kind", ["succeeded", "permanent", "bounced", "temporary"])
async def test_any_other_outcome_suppresses_nobody(connection: Connection, kind: str) -> None:
    await configure(connection)

    await record(connection, await claim_one(connection), kind)

    assert await connection.fetch(BARRED) == []
