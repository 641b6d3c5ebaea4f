"""A daemon beside the schema of the next release, whose functions may return a column more."""

from collections.abc import Awaitable, Callable

import pytest
from engine import Connection, insert
from running import running
from wider import widen

pytestmark = pytest.mark.anyio


async def test_daemon_claims_and_records_where_claim_returns_a_column_more(
    dsn: str, connection: Connection, all_ended: Callable[[], Awaitable[None]]
) -> None:
    await widen(connection, "claim")

    async with running(dsn, {"email": {"adapter": "sink"}}) as daemon:
        delivery_id = await insert(connection)
        await all_ended()
        await daemon.said("attempt_recorded", delivery_id=str(delivery_id), outcome="succeeded")
