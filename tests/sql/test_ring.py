"""ring: the doorbell wakes whoever fell asleep since it last rang, and nobody else."""

import asyncpg
import pytest
from engine import Bell, Connection, insert

pytestmark = pytest.mark.anyio

RING = "select chimeway.ring()"


async def test_ring_is_heard_by_an_armed_daemon(connection: Connection, bell: Bell) -> None:
    await connection.execute(RING)

    assert await bell.rings() == 1


async def test_second_ring_is_silent_until_a_daemon_sleeps_again(
    connection: Connection, bell: Bell
) -> None:
    await connection.execute(RING)
    await connection.execute(RING)
    assert await bell.rings() == 1

    await bell.arm()
    await connection.execute(RING)

    assert await bell.rings() == 1


async def test_ring_carries_an_empty_payload(connection: Connection, bell: Bell) -> None:
    payloads: list[object] = []
    await connection.add_listener("chimeway_jobs", lambda *ring: payloads.append(ring[-1]))

    await connection.execute(RING)

    assert await bell.rings() == 1
    assert payloads[0] == ""


async def test_ring_keeps_silent_for_a_session_that_opted_out(
    connection: Connection, bell: Bell
) -> None:
    await connection.execute("set chimeway.notify = off")
    await connection.execute(RING)
    assert await bell.rings() == 0

    await connection.execute("reset chimeway.notify")
    await connection.execute(RING)

    assert await bell.rings() == 1


async def test_first_daemon_ever_to_sleep_hears_the_bell(
    empty_dsn: str, migrated: Connection
) -> None:
    await insert(migrated)
    listener = await asyncpg.connect(empty_dsn)
    try:
        bell = Bell(listener)
        await bell.listen()
        await bell.arm()

        await insert(migrated)

        assert await bell.rings() == 1
    finally:
        await listener.close()
