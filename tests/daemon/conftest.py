"""What the tests of the running daemon share: receivers, and a way to see what is left to do."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from engine import Connection
from gated import Gate, gated
from running import eventually

from chimewayd.testing.receiver import Receiver, receiver


@pytest.fixture
async def hooks() -> AsyncIterator[Receiver]:
    """A receiver that answers as scripted."""
    async with receiver() as running_receiver:
        yield running_receiver


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    """A receiver that answers on command."""
    async with gated() as running_gate:
        yield running_gate


@pytest.fixture
def all_ended(connection: Connection) -> Callable[[], Awaitable[None]]:
    """Wait until every delivery is terminal."""

    async def open_deliveries() -> int:
        count: int = await connection.fetchval(
            "select count(*) from chimeway.deliveries where finished_at is null"
        )
        return count

    async def wait() -> None:
        await eventually(open_deliveries, 0)

    return wait
