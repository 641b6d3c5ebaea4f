"""Many deliveries page by page: cut in between, overtaken by others, and in each other's way."""

from functools import partial

import anyio
import asyncpg
import engine
import pytest
from commands import Ended, chimewayd
from running import eventually

from chimewayd.cli import apply
from chimewayd.cli.selection import Filters
from chimewayd.cli.tally import Kind, Tally
from chimewayd.models import Status

pytestmark = pytest.mark.anyio

MANY = """
insert into chimeway.deliveries (channel, recipient, payload)
select 'email', 'ada', '{}' from generate_series(1, $1)
"""
STATUSES = "select status, count(*) from chimeway.deliveries group by status"
WAITING_FOR_A_LOCK = "select max(pid) from pg_locks where not granted"
LAST = "select id from chimeway.deliveries order by id desc limit 1"
NO_FILTERS = Filters(
    channel=None, status=None, with_reason=None, since=None, recipient=None, tenant=None
)


async def statuses(connection: engine.Connection) -> dict[str, int]:
    return {row[0]: row[1] for row in await connection.fetch(STATUSES)}


async def test_a_run_that_was_cut_is_finished_by_the_same_command(
    dsn: str, connection: engine.Connection
) -> None:
    await connection.execute(MANY, 600)
    cancel = ("--dsn", dsn, "cancel", "--channel", "email", "--reason", "why", "--yes")
    ended: list[Ended] = []

    async def run() -> None:
        ended.append(await chimewayd(*cancel))

    async def is_blocked() -> bool:
        return await connection.fetchval(WAITING_FOR_A_LOCK) is not None

    async with anyio.create_task_group() as group, connection.transaction():
        last = await connection.fetchval(LAST)
        await connection.execute("select from chimeway.deliveries where id = $1 for update", last)
        group.start_soon(run)
        await eventually(is_blocked, wanted=True)
        waiter = await connection.fetchval(WAITING_FOR_A_LOCK)
        await connection.execute("select pg_terminate_backend($1)", waiter)
    (cut,) = ended
    between = await statuses(connection)
    rest = await chimewayd(*cancel, "--json")

    assert (cut.exit_code, between) == (69, {"cancelled": 500, "pending": 100})
    assert "stopped after 500; the same command does the rest" in cut.stderr
    assert (rest.exit_code, rest.document["changed"]) == (0, 100)


async def test_what_moved_on_after_it_was_selected_is_refused_alone(
    connection: engine.Connection,
) -> None:
    await engine.configure(connection)
    moved = await engine.delivery_in(connection, Status.SUCCEEDED)
    await connection.execute(MANY, 10)
    order = apply.Order("hold", ("why", "ops"), list(Status))  # as if it still waited
    tally, steps = Tally(), list[int]()

    _, selected = await apply.survey(connection, order, NO_FILTERS, wants_ids=False)
    await apply.apply_to_selection(connection, order, selected, tally, steps.append)

    assert (tally.counts, steps) == ({Kind.CHANGED: 10, Kind.REFUSED: 1}, [11])
    assert [reply.delivery_id for reply in tally.troubles] == [moved]


async def test_what_is_inserted_after_the_count_is_left_alone(
    connection: engine.Connection,
) -> None:
    await connection.execute(MANY, 3)
    order = apply.Order("cancel", ("why", "ops"), ("pending",))
    plan, selected = await apply.survey(connection, order, NO_FILTERS, wants_ids=False)
    await connection.execute(MANY, 2)
    tally = Tally()

    await apply.apply_to_selection(connection, order, selected, tally, lambda _: None)

    assert (plan.matched, tally.matched) == (3, 3)
    assert await statuses(connection) == {"cancelled": 3, "pending": 2}


async def test_a_page_that_loses_a_deadlock_is_done_in_smaller_parts(
    dsn: str, connection: engine.Connection
) -> None:
    first = await engine.insert(connection)
    second = await engine.insert(connection)
    lock = "select from chimeway.deliveries where id = $1 for update"
    order, tally = apply.Order("cancel", ("why", "ops"), ("pending",)), Tally()
    operator = await asyncpg.connect(dsn)
    # Only the operator looks for deadlocks, so that it is the one that loses.
    await connection.execute("set deadlock_timeout = '1min'")

    try:
        async with connection.transaction():
            await connection.execute(lock, max(first, second))
            async with engine.blocked(
                connection,
                operator,
                partial(apply.apply_to_ids, operator, order, [first, second], None, tally),
            ):
                await connection.execute(lock, min(first, second))
                await connection.execute("commit; begin")
    finally:
        await operator.close()

    assert tally.counts == {Kind.CHANGED: 2}
    assert await statuses(connection) == {"cancelled": 2}
