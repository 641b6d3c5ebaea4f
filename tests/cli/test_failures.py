"""`chimewayd failures`: the same failure is one group, with its newest example."""

from typing import Any
from uuid import UUID

import engine
import pytest
from commands import chimewayd

pytestmark = pytest.mark.anyio


async def failed(connection: engine.Connection, kind: str, **report: Any) -> UUID:
    delivery = await engine.claim_one(connection)
    await engine.record(connection, delivery, kind, **report)
    return delivery.delivery_id


@pytest.fixture(autouse=True)
async def channel(connection: engine.Connection) -> None:
    await engine.configure(connection)


async def test_failures_that_differ_in_numbers_only_are_one_group_with_the_newest_as_example(
    dsn: str, connection: engine.Connection
) -> None:
    await failed(connection, "temporary", detail="port 1 refused", status_code=503)
    newest = await failed(connection, "temporary", detail="port 22 refused", status_code=503)
    await failed(connection, "permanent", detail="gone")
    await engine.ended(connection, "succeeded")

    ended = await chimewayd("--dsn", dsn, "failures", "--json")

    first, second = ended.document["failures"]
    assert (first["calls"], first["deliveries"], first["given_up"]) == (2, 2, 0)
    assert (first["newest_delivery_id"], first["newest_detail"]) == (str(newest), "port 22 refused")
    assert (second["error_class"], second["given_up"]) == ("permanent", 1)


async def test_calls_before_since_are_left_out(dsn: str, connection: engine.Connection) -> None:
    await engine.ended(connection, "permanent")

    ended = await chimewayd("--dsn", dsn, "failures", "--since", "2999-01-01T00:00Z")

    assert ended.exit_code == 0
    assert ended.stdout == (
        "no attempt failed in this time; what stopped a channel: chimewayd status\n"
    )


async def test_table_has_one_line_a_group(dsn: str, connection: engine.Connection) -> None:
    await engine.configure(connection, "push")
    await failed(connection, "temporary", detail="HTTP 503 Service Unavailable")
    delivery = await engine.claim_one(connection, channel="push")
    await engine.record(connection, delivery, "bounced", status_code=550)

    ended = await chimewayd("--dsn", dsn, "failures")
    of_push = await chimewayd("--dsn", dsn, "failures", "--channel", "push")

    header, *lines = ended.stdout.splitlines()
    assert header.split()[:5] == ["channel", "error", "code", "calls", "deliveries"]
    assert len(lines) == 2
    (line,) = of_push.stdout.splitlines()[1:]
    assert line.split()[:6] == ["push", "bounced", "550", "1", "1", "1"]
    assert str(delivery.delivery_id) in line
