"""register_daemon and forget_daemons: who is there."""

from datetime import timedelta

import pytest
from engine import Connection, move_clock

pytestmark = pytest.mark.anyio

REGISTER = "select chimeway.register_daemon($1, '0.1', array['email'])"


async def names(connection: Connection) -> list[str]:
    rows = await connection.fetch("select name from chimeway.daemons order by id")
    return [row["name"] for row in rows]


async def test_each_run_of_a_daemon_gets_an_id_of_its_own(connection: Connection) -> None:
    first = await connection.fetchval(REGISTER, "d1")
    await connection.execute("select chimeway.forget_daemons($1, interval '1 day')", first)

    second = await connection.fetchval(REGISTER, "d1")

    assert second > first
    assert await names(connection) == ["d1"]


async def test_daemon_that_leaves_is_forgotten_and_the_others_are_not(
    connection: Connection,
) -> None:
    leaver = await connection.fetchval(REGISTER, "leaver")
    await connection.fetchval(REGISTER, "stayer")

    await connection.execute("select chimeway.forget_daemons($1, interval '1 day')", leaver)

    assert await names(connection) == ["stayer"]


async def test_living_daemons_that_serve_a_channel_are_counted(connection: Connection) -> None:
    await connection.fetchval(REGISTER, "silent")
    await move_clock(connection, timedelta(seconds=31))
    for name in ("d1", "d2"):
        await connection.fetchval(REGISTER, name)
    await connection.execute("select chimeway.register_daemon('d3', '0.1', '{sms, email, sms}')")

    rows = await connection.fetch(
        "select * from chimeway.serving_daemons('{email, sms, nobodys}') order by channel"
    )

    assert [tuple(row) for row in rows] == [("email", 3), ("sms", 1)]


async def test_silent_daemons_are_forgotten(connection: Connection) -> None:
    await connection.fetchval(REGISTER, "silent")
    await move_clock(connection, timedelta(hours=2))
    await connection.fetchval(REGISTER, "alive")

    await connection.execute("select chimeway.forget_daemons(null, interval '1 hour')")

    assert await names(connection) == ["alive"]
