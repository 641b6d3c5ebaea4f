"""prune: what its channel keeps no longer goes, with its history, and nothing else does."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from engine import (
    Connection,
    claim_one,
    configure,
    delivery_in,
    ended,
    events_of,
    look,
    move_clock,
    record,
)

from chimewayd.errors import TransitionRefused
from chimewayd.models import Status, Step

pytestmark = pytest.mark.anyio

DAY = timedelta(days=1)
TERMINAL = [Status.SUCCEEDED, Status.SUPPRESSED, Status.CANCELLED]
HISTORY = """
select (select count(*) from chimeway.delivery_attempts where delivery_id = $1)
  + (select count(*) from chimeway.delivery_events where delivery_id = $1)
"""


@pytest.fixture(autouse=True)
async def channel(unchecked: Connection) -> None:
    """Configure channel email."""
    await configure(unchecked)


async def keep(
    connection: Connection,
    *,
    channel: str = "email",
    redact: timedelta | None = None,
    delete: timedelta | None = None,
) -> None:
    await connection.execute(
        "select chimeway.configure_retention($1, $2, $3)", channel, redact, delete
    )


async def prune(
    connection: Connection, *, limit: int = 100, dry_run: bool = False, daemon: int | None = None
) -> list[Step]:
    """Walk to the end; return the steps."""
    steps: list[Step] = []
    while not steps or steps[-1].next_after:
        row = await connection.fetchrow(
            "select * from chimeway.prune($1, $2, $3, $4)",
            daemon,
            steps[-1].next_after if steps else None,
            limit,
            dry_run,
        )
        assert row is not None
        steps.append(Step._make(row))
    return steps


def sums(steps: list[Step]) -> tuple[int, int]:
    """Return how many were redacted and deleted."""
    return sum(step.redacted for step in steps), sum(step.deleted for step in steps)


async def ids(connection: Connection) -> set[UUID]:
    return {row[0] for row in await connection.fetch("select id from chimeway.deliveries")}


@pytest.mark.parametrize("status", TERMINAL)
async def test_what_ended_long_ago_goes_with_its_history(
    connection: Connection, status: Status
) -> None:
    delivery_id = await delivery_in(connection, status)
    assert await connection.fetchval(HISTORY, delivery_id) == 1
    await keep(connection, delete=DAY)
    await move_clock(connection, DAY)

    assert sums(await prune(connection)) == (0, 1)

    assert await ids(connection) == set()
    assert await connection.fetchval(HISTORY, delivery_id) == 0


async def test_what_ended_lately_or_has_not_ended_stays(connection: Connection) -> None:
    for status in sorted(Status, key=lambda status: status is Status.PENDING):
        await delivery_in(connection, status)
    everything = await ids(connection)
    await keep(connection, delete=DAY)

    assert sums(await prune(connection)) == (0, 0)
    await move_clock(connection, 2 * DAY)
    assert sums(await prune(connection)) == (0, 3)

    left = await connection.fetch("select status from chimeway.deliveries")
    assert len(everything) == 6
    assert {row[0] for row in left} == {Status.PENDING, Status.DISPATCHED, Status.FAILED}


async def test_each_channel_has_its_own_ages_and_none_is_for_ever(connection: Connection) -> None:
    kept = {}
    for name, age in (("email", DAY), ("push", 3 * DAY), ("sms", None)):
        await configure(connection, name)
        await keep(connection, channel=name, delete=age)
        delivery = await claim_one(connection, channel=name)
        await record(connection, delivery)
        kept[name] = delivery.delivery_id
    await move_clock(connection, 2 * DAY)

    assert sums(await prune(connection)) == (0, 1)

    assert await ids(connection) == {kept["push"], kept["sms"]}


async def test_ids_of_a_producers_own_are_found_wherever_they_lie(connection: Connection) -> None:
    for delivery_id in (UUID(int=0), uuid4(), UUID(int=2**128 - 1)):
        delivery = await claim_one(connection, id=delivery_id)
        await record(connection, delivery)
    await keep(connection, delete=DAY)
    await move_clock(connection, DAY)

    assert sums(await prune(connection, limit=1)) == (0, 3)


async def test_a_walk_looks_at_nothing_that_is_too_young(connection: Connection) -> None:
    await ended(connection, "succeeded")
    await keep(connection, delete=DAY)

    assert sum(step.looked_at for step in await prune(connection)) == 0


async def test_a_step_is_bounded_and_the_next_one_goes_on(connection: Connection) -> None:
    for _ in range(5):
        await ended(connection, "succeeded")
    await keep(connection, delete=DAY)
    await move_clock(connection, DAY)

    steps = await prune(connection, limit=2)

    assert [step.deleted for step in steps if step.looked_at] == [2, 2, 1]


async def test_a_dry_run_tells_and_changes_nothing(connection: Connection) -> None:
    await ended(connection, "succeeded")
    await keep(connection, redact=DAY, delete=2 * DAY)
    await ended(connection, "permanent")
    await move_clock(connection, DAY)
    would_redact = sums(await prune(connection, dry_run=True))
    await move_clock(connection, 2 * DAY)
    would_delete = sums(await prune(connection, dry_run=True))

    assert (would_redact, would_delete) == ((2, 0), (0, 2))
    assert len(await ids(connection)) == 2


async def test_redacted_is_the_body_and_all_else_stays(connection: Connection) -> None:
    delivery = await claim_one(connection, payload='{"secret": 1}', metadata='{"user": 7}')
    await record(connection, delivery, "permanent", detail="no", response="who is 7?")
    before = dict(await look(connection, delivery.delivery_id))
    await keep(connection, redact=DAY)
    await move_clock(connection, DAY)

    assert sums(await prune(connection)) == (1, 0)
    assert sums(await prune(connection)) == (0, 0)

    after = dict(await look(connection, delivery.delivery_id))
    assert (after.pop("payload"), after.pop("metadata")) == ("{}", "{}")
    assert after.pop("redacted_at") is not None
    assert after.items() <= before.items()
    attempt = await connection.fetchrow("select detail, response from chimeway.delivery_attempts")
    assert attempt is not None
    assert tuple(attempt) == ("no", None)


async def test_what_was_redacted_says_so_and_is_not_replayed(connection: Connection) -> None:
    delivery_id = await ended(connection, "permanent")
    await keep(connection, redact=DAY)
    await move_clock(connection, DAY)
    await prune(connection)

    with pytest.raises(TransitionRefused, match="its body was redacted at"):
        await connection.execute("select chimeway.replay($1, 'ops')", delivery_id)

    rows = await connection.fetch("select * from chimeway.explain($1)", delivery_id)
    assert [row["event"] for row in rows][-2:] == ["redacted", "next"]
    assert rows[-2]["why"] == "the channel's redact_after is 24 h"
    assert rows[-1]["why"] == "it cannot be replayed: its body was redacted"


async def test_a_daemon_leaves_it_to_an_earlier_one_that_lives(connection: Connection) -> None:
    await ended(connection, "succeeded")
    await keep(connection, delete=DAY)
    first = await connection.fetchval("select chimeway.register_daemon('d1', '0', '{}')")
    second = await connection.fetchval("select chimeway.register_daemon('d2', '0', '{}')")
    await connection.execute("update chimeway.daemons set heartbeat_at = now() + interval '1 day'")
    await move_clock(connection, DAY)

    assert sums(await prune(connection, daemon=second)) == (0, 0)
    assert sums(await prune(connection, daemon=first)) == (0, 1)


async def test_what_somebody_holds_locked_is_left_for_the_next_walk(
    connection: Connection, other: Connection
) -> None:
    held, free = await ended(connection, "succeeded"), await ended(connection, "succeeded")
    await keep(connection, delete=DAY)
    await move_clock(connection, DAY)

    async with other.transaction():
        await other.execute("select from chimeway.deliveries where id = $1 for update", held)
        assert sums(await prune(connection)) == (0, 1)

    assert free not in await ids(connection)
    assert sums(await prune(connection)) == (0, 1)


CHEATS: dict[str, str] = {
    "delete": "delete from chimeway.deliveries",
    "remove": "select chimeway.remove(array(select id from chimeway.deliveries))",
    "redact": "select chimeway.redact(array(select id from chimeway.deliveries))",
    "empty the body": "update chimeway.deliveries set payload = '{}', metadata = '{}', "
    "redacted_at = now()",
}


@pytest.mark.parametrize("cheat", CHEATS)
async def test_nobody_gets_past_the_ages(connection: Connection, cheat: str) -> None:
    delivery_id = await ended(connection, "permanent")
    await keep(connection, redact=DAY, delete=2 * DAY)
    before = await look(connection, delivery_id)

    with pytest.raises(TransitionRefused):
        await connection.execute(CHEATS[cheat])

    assert await look(connection, delivery_id) == before


@pytest.mark.parametrize("also", ["recipient = 'eve'", "updated_at = now()", "attempt_count = 9"])
async def test_redaction_changes_nothing_but_the_body(connection: Connection, also: str) -> None:
    await ended(connection, "permanent")
    await keep(connection, redact=DAY)
    await move_clock(connection, DAY)

    with pytest.raises(TransitionRefused, match="is terminal"):
        await connection.execute(f"{CHEATS['empty the body']}, {also}")


async def test_a_replayed_delivery_is_kept_until_it_ended_again(connection: Connection) -> None:
    delivery_id = await ended(connection, "permanent")
    await keep(connection, delete=DAY)
    await move_clock(connection, DAY)
    await connection.execute("select chimeway.replay($1, 'ops')", delivery_id)

    assert sums(await prune(connection)) == (0, 0)

    assert [row["event"] for row in await events_of(connection, delivery_id)] == ["replayed"]


async def test_a_key_may_be_used_again_once_its_delivery_is_gone(connection: Connection) -> None:
    delivery = await claim_one(connection, idempotency_key="order-42")
    await record(connection, delivery)
    await keep(connection, delete=DAY)
    await move_clock(connection, DAY)
    await prune(connection)
    await move_clock(connection, timedelta())

    again = await claim_one(connection, idempotency_key="order-42")

    assert again.delivery_id != delivery.delivery_id
