"""A daemon beside the schema of the next release, whose functions may return a column more."""

from collections.abc import Awaitable, Callable

import pytest
from engine import Connection, insert
from running import running

pytestmark = pytest.mark.anyio

ARGUMENTS = "bigint, text, text[], integer[], integer, interval, boolean, boolean"
RESULT = "select pg_get_function_result($1::text::regprocedure)"


async def widen_claim(connection: Connection) -> None:
    """Have `claim` return one column more, before the others: places are not to be counted on."""
    claim = f"chimeway.claim({ARGUMENTS})"
    result: str = await connection.fetchval(RESULT, claim)
    wider = result.replace("TABLE(", "TABLE(neighbour text, ")
    assert wider != result
    await connection.execute(
        f"alter function {claim} rename to narrow_claim; "  # noqa: S608 - our own names
        f"create function {claim} returns {wider} language sql as "
        "'select null, c.* from chimeway.narrow_claim($1, $2, $3, $4, $5, $6, $7, $8) as c'"
    )


async def test_daemon_claims_and_records_where_claim_returns_a_column_more(
    dsn: str, connection: Connection, all_ended: Callable[[], Awaitable[None]]
) -> None:
    await widen_claim(connection)

    async with running(dsn, {"email": {"adapter": "sink"}}) as daemon:
        delivery_id = await insert(connection)
        await all_ended()
        await daemon.said("attempt_recorded", delivery_id=str(delivery_id), outcome="succeeded")
