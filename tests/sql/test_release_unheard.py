"""release_unheard: a claim whose answer was lost is given back by the daemon that made it."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from engine import Connection, attempts_of, claim_one, configure, look, move_clock

pytestmark = pytest.mark.anyio

A_WHILE = timedelta(seconds=15)


@pytest.fixture(autouse=True)
async def channel(unchecked: Connection) -> None:
    """Configure channel email."""
    await configure(unchecked)


async def release_unheard(
    connection: Connection,
    known: Sequence[int] = (),
    older_than: timedelta = timedelta(),
    daemon_id: int = 1,
) -> int:
    count: int = await connection.fetchval(
        "select chimeway.release_unheard($1, 'd1', $2, $3)", daemon_id, known, older_than
    )
    return count


async def test_claim_that_its_daemon_does_not_know_is_given_back_and_no_attempt_is_used(
    connection: Connection,
) -> None:
    delivery = await claim_one(connection)

    assert await release_unheard(connection) == 1

    row = await look(connection, delivery.delivery_id)
    assert (row["status"], row["attempt_count"]) == ("pending", 0)
    assert await attempts_of(connection, delivery.delivery_id) == []


async def test_claim_that_its_daemon_knows_stays(connection: Connection) -> None:
    delivery = await claim_one(connection)

    assert await release_unheard(connection, [delivery.claim_id]) == 0

    assert (await look(connection, delivery.delivery_id))["status"] == "dispatched"


async def test_claim_whose_answer_may_be_on_its_way_stays(connection: Connection) -> None:
    await claim_one(connection)

    assert await release_unheard(connection, older_than=A_WHILE) == 0

    await move_clock(connection, A_WHILE)
    assert await release_unheard(connection, older_than=A_WHILE) == 1


async def test_claim_of_another_daemon_stays(connection: Connection) -> None:
    await claim_one(connection)

    assert await release_unheard(connection, daemon_id=2) == 0
