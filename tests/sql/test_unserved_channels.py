"""unserved_channels: something waits there, and no living daemon will come for it."""

from datetime import timedelta

import pytest
from engine import Connection, insert, move_clock, operate

pytestmark = pytest.mark.anyio


async def unserved(connection: Connection) -> list[str]:
    return [row[0] for row in await connection.fetch("select chimeway.unserved_channels()")]


async def serve(connection: Connection, *channels: str) -> None:
    await connection.execute("select chimeway.register_daemon('d1', '0.1', $1)", channels)


async def test_channels_on_which_something_waits_are_named_once(connection: Connection) -> None:
    for channel in ("sms", "email", "sms"):
        await insert(connection, channel=channel)

    assert await unserved(connection) == ["email", "sms"]


async def test_served_channel_is_not_named(connection: Connection) -> None:
    await insert(connection)
    await insert(connection, channel="sms")
    await serve(connection, "email", "push")

    assert await unserved(connection) == ["sms"]


async def test_silent_daemon_serves_nobody(connection: Connection) -> None:
    await insert(connection)
    await serve(connection, "email")
    await move_clock(connection, timedelta(seconds=31))

    assert await unserved(connection) == ["email"]


async def test_channel_on_which_nothing_waits_is_not_named(connection: Connection) -> None:
    delivery_id = await insert(connection)
    await operate(connection, "cancel", delivery_id, "no longer wanted", "ops")

    assert await unserved(connection) == []
