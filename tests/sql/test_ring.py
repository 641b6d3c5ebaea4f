"""ring: the doorbell wakes whoever fell asleep since it last rang, and nobody else."""

import asyncpg
import pytest
from engine import LEASE, Bell, Connection, claim_one, configure, insert, move_clock

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


async def test_rescue_wakes_whoever_sleeps(connection: Connection, bell: Bell) -> None:
    await configure(connection)
    await claim_one(connection)
    await bell.rings()
    await bell.arm()
    await move_clock(connection, 2 * LEASE)

    await connection.execute("select chimeway.rescue(10)")

    assert await bell.rings() == 1
