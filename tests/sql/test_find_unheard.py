"""find_unheard: a claim whose answer was lost is found by the daemon that made it."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from engine import Connection, attempts_of, claim, claim_one, configure, look, move_clock

pytestmark = pytest.mark.anyio

A_WHILE = timedelta(seconds=15)


@pytest.fixture(autouse=True)
async def channel(unchecked: Connection) -> None:
    """Configure channel email."""
    await configure(unchecked)


async def find_unheard(
    connection: Connection,
    known: Sequence[int] = (),
    older_than: timedelta = timedelta(),
    daemon_id: int = 1,
) -> list[tuple[object, int]]:
    rows = await connection.fetch(
        "select delivery_id, claim_id from chimeway.find_unheard($1, $2, $3)",
        *(daemon_id, known, older_than),
    )
    return [tuple(row) for row in rows]


async def test_claim_that_its_daemon_does_not_know_is_given_back_and_no_attempt_is_used(
    connection: Connection,
) -> None:
    delivery = await claim_one(connection)

    found = await find_unheard(connection)
    await connection.execute(
        "select chimeway.release_unsent('d1', $1, $2, 'not heard')",
        *([named[0] for named in found], [named[1] for named in found]),
    )

    assert found == [(delivery.delivery_id, delivery.claim_id)]
    row = await look(connection, delivery.delivery_id)
    assert (row["status"], row["attempt_count"]) == ("pending", 0)
    assert await attempts_of(connection, delivery.delivery_id) == []


async def test_naming_it_twice_or_late_takes_nothing_that_was_claimed_since(
    connection: Connection,
) -> None:
    delivery = await claim_one(connection)
    names = ([delivery.delivery_id], [delivery.claim_id])
    give_back = "select chimeway.release_unsent('d1', $1, $2, 'not heard')"

    await connection.execute(give_back, *names)
    (again,) = await claim(connection)
    await connection.execute(give_back, *names)

    assert again.delivery_id == delivery.delivery_id
    row = await look(connection, delivery.delivery_id)
    assert (row["status"], row["claim_id"]) == ("dispatched", again.claim_id)


async def test_looking_changes_nothing_however_late_it_is_done(connection: Connection) -> None:
    delivery = await claim_one(connection)

    await find_unheard(connection)

    assert (await look(connection, delivery.delivery_id))["status"] == "dispatched"


async def test_claim_that_its_daemon_knows_is_not_found(connection: Connection) -> None:
    delivery = await claim_one(connection)

    assert await find_unheard(connection, [delivery.claim_id]) == []


async def test_claim_whose_answer_may_be_on_its_way_is_not_found(connection: Connection) -> None:
    await claim_one(connection)

    assert await find_unheard(connection, older_than=A_WHILE) == []

    await move_clock(connection, A_WHILE)
    assert len(await find_unheard(connection, older_than=A_WHILE)) == 1


async def test_claim_of_another_daemon_is_not_found(connection: Connection) -> None:
    await claim_one(connection)

    assert await find_unheard(connection, daemon_id=2) == []
