"""heartbeat: a daemon that lives keeps its leases, and hears which it has lost."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from engine import LEASE, Connection, claim, claim_one, configure, look, move_clock, record

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
async def channel(unchecked: Connection) -> None:
    """Configure channel email."""
    await configure(unchecked)


async def heartbeat(
    connection: Connection, claim_ids: Sequence[int] = (), daemon_id: int = 1
) -> list[int]:
    """Beat; return the claims that are not held any more."""
    rows = await connection.fetch(
        "select * from chimeway.heartbeat($1, 'd1', '0.1', array['email'], $2, $3)",
        daemon_id,
        claim_ids,
        LEASE,
    )
    return [row[0] for row in rows]


async def test_registered_daemon_is_seen_again(connection: Connection) -> None:
    daemon_id = await connection.fetchval(
        "select chimeway.register_daemon('d1', '0.1', array['email'])"
    )
    await move_clock(connection, timedelta(minutes=1))

    await heartbeat(connection, daemon_id=daemon_id)

    row = await connection.fetchrow("select * from chimeway.daemons")
    assert row is not None
    assert (row["id"], row["channels"]) == (daemon_id, ["email"])
    assert row["heartbeat_at"] - row["started_at"] > timedelta(seconds=59)


async def test_daemon_forgotten_in_a_crash_of_postgres_comes_back(connection: Connection) -> None:
    await heartbeat(connection, daemon_id=7)

    row = await connection.fetchrow("select id, name, version from chimeway.daemons")
    assert row is not None
    assert tuple(row) == (7, "d1", "0.1")


async def test_leases_are_extended_from_now(connection: Connection) -> None:
    delivery = await claim_one(connection)
    await move_clock(connection, timedelta(seconds=50))

    assert await heartbeat(connection, [delivery.claim_id]) == []

    await move_clock(connection, timedelta(seconds=100))
    assert await connection.fetch("select * from chimeway.rescue(10)") == []
    await move_clock(connection, timedelta(seconds=120))
    assert len(await connection.fetch("select * from chimeway.rescue(10)")) == 1


async def test_lease_that_is_not_named_is_not_extended(connection: Connection) -> None:
    await claim_one(connection)
    before = await connection.fetchval("select expires_at from chimeway.claims")
    await move_clock(connection, timedelta(seconds=50))

    await heartbeat(connection, [])

    assert await connection.fetchval("select expires_at from chimeway.claims") == before


async def test_rescued_and_finished_claims_are_reported_as_lost(connection: Connection) -> None:
    rescued = await claim_one(connection)
    await move_clock(connection, timedelta(minutes=2))
    await connection.execute("select chimeway.rescue(10)")
    (again,) = await claim(connection)
    await record(connection, again)
    finished = await claim_one(connection)
    await record(connection, finished)
    held = await claim_one(connection)

    lost = await heartbeat(connection, [rescued.claim_id, finished.claim_id, held.claim_id])

    assert lost == [rescued.claim_id, finished.claim_id]


async def test_another_daemons_claim_is_not_extended(connection: Connection) -> None:
    delivery = await claim_one(connection)
    before = await connection.fetchval("select expires_at from chimeway.claims")
    await move_clock(connection, timedelta(seconds=50))

    assert await heartbeat(connection, [delivery.claim_id], daemon_id=2) == [delivery.claim_id]

    assert await connection.fetchval("select expires_at from chimeway.claims") == before
    assert (await look(connection, delivery.delivery_id))["status"] == "dispatched"
