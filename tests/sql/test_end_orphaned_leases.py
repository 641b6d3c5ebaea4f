"""end_orphaned_leases: what daemons that are gone hold is not waited for."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from engine import Connection, claim, claim_one, configure, insert, move_clock

pytestmark = pytest.mark.anyio

Connect = Callable[[], Awaitable[Connection]]

SILENT_FOR = timedelta(seconds=20)
AHEAD = timedelta(hours=1)
REGISTER = "select chimeway.register_daemon($1, '0.1', array['email'])"


@pytest.fixture(autouse=True)
async def channel(unchecked: Connection) -> None:
    """Configure channel email; the server, too, has been up for longer than any silence."""
    await configure(unchecked)
    await move_clock(unchecked, AHEAD)


async def end_orphaned(connection: Connection, daemon_id: int, name: str) -> tuple[bool, int]:
    row = await connection.fetchrow(
        "select * from chimeway.end_orphaned_leases($1, $2, $3)", daemon_id, name, SILENT_FOR
    )
    assert row is not None
    return row["holds_name"], row["ended_count"]


async def rescued(connection: Connection) -> list[UUID]:
    rows = await connection.fetch("select delivery_id from chimeway.rescue(10)")
    return [row["delivery_id"] for row in rows]


async def leases_end(connection: Connection) -> list[datetime]:
    rows = await connection.fetch("select expires_at from chimeway.claims")
    return [row["expires_at"] for row in rows]


async def test_next_run_of_a_daemon_ends_the_leases_of_the_one_before(
    connection: Connection,
) -> None:
    delivery = await claim_one(connection)

    assert await end_orphaned(connection, 2, "d1") == (True, 1)

    assert await rescued(connection) == [delivery.delivery_id]


async def test_leases_of_this_very_run_go_on(connection: Connection) -> None:
    await claim_one(connection)

    assert await end_orphaned(connection, 1, "d1") == (True, 0)


async def test_name_that_a_living_session_holds_is_not_ours(
    connection: Connection, other: Connection
) -> None:
    assert await end_orphaned(other, 1, "d1") == (True, 0)
    await claim_one(connection)

    assert await end_orphaned(connection, 2, "d1") == (False, 0)
    assert await rescued(connection) == []


async def test_living_run_of_our_name_keeps_its_leases(
    connection: Connection, other: Connection
) -> None:
    await end_orphaned(connection, 2, "d1")
    assert await end_orphaned(other, 1, "d1") == (False, 0)
    await claim_one(connection)

    assert await end_orphaned(connection, 2, "d1") == (True, 0)


async def test_name_is_ours_as_soon_as_its_holder_is_gone(
    connection: Connection, connect: Connect
) -> None:
    holder = await connect()
    await end_orphaned(holder, 1, "d1")
    await claim_one(connection)
    await holder.close()

    # Its server process may take a moment to end.
    while not (answer := await end_orphaned(connection, 2, "d1"))[0]:
        pass

    assert answer == (True, 1)


async def test_silent_daemon_without_a_session_loses_its_leases(connection: Connection) -> None:
    await move_clock(connection, AHEAD - SILENT_FOR)
    daemon_id = await connection.fetchval(REGISTER, "d2")
    await move_clock(connection, AHEAD)
    await insert(connection)
    (delivery,) = await claim(connection, daemon_id=daemon_id + 1)

    assert await end_orphaned(connection, daemon_id, "d2") == (True, 1)

    assert await rescued(connection) == [delivery.delivery_id]


async def test_daemon_keeps_its_leases_over_a_failover(connection: Connection) -> None:
    """The standby has been up for long, knows no daemon, and has no session but the first's."""
    d1, d2 = [await connection.fetchval(REGISTER, name) for name in ("d1", "d2")]
    await insert(connection)
    await claim(connection, daemon_id=d1)
    await connection.execute("delete from chimeway.daemons")
    await connection.execute(
        "select chimeway.heartbeat($1, 'd2', '0.1', array['email'], '{}', interval '1 minute')", d2
    )

    assert await end_orphaned(connection, d2, "d2") == (True, 0)

    await move_clock(connection, AHEAD + SILENT_FOR)
    assert await end_orphaned(connection, d2, "d2") == (True, 1)


async def test_silent_daemon_whose_session_lives_keeps_its_leases(
    connection: Connection, other: Connection
) -> None:
    await end_orphaned(other, 1, "d1")
    await claim_one(connection)

    assert await end_orphaned(connection, 2, "d2") == (True, 0)


async def test_daemon_that_beat_a_moment_ago_keeps_its_leases(connection: Connection) -> None:
    daemon_id = await connection.fetchval(REGISTER, "d1")
    await insert(connection)
    await claim(connection, daemon_id=daemon_id)

    assert await end_orphaned(connection, daemon_id + 1, "d2") == (True, 0)

    await move_clock(connection, AHEAD + SILENT_FOR)
    assert await end_orphaned(connection, daemon_id + 1, "d2") == (True, 1)


async def test_nobody_counts_as_silent_just_after_the_server_started(
    connection: Connection,
) -> None:
    await claim_one(connection)
    up_for = await connection.fetchval("select clock_timestamp() - pg_postmaster_start_time()")
    await move_clock(connection, -up_for)

    assert await end_orphaned(connection, 2, "d2") == (True, 0)
