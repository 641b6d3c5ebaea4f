"""A clock that stands still until a test sets it: due times are exact to the microsecond.

For a transaction that is rolled back or a database of one's own: the other tests' clock runs.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from engine import Connection, check_invariants

START = datetime(2030, 1, 1, tzinfo=UTC)

FROZEN = """
create or replace function chimeway.clock()
returns timestamptz
language sql
volatile
as $$ select pg_catalog.current_setting('chimeway.frozen_clock')::timestamptz $$
"""


async def freeze(connection: Connection) -> None:
    """Stop chimeway's clock at START."""
    await connection.execute(FROZEN)
    await set_clock(connection, START)


async def set_clock(connection: Connection, moment: datetime) -> None:
    """Set the stopped clock, for this connection."""
    await connection.execute(
        "select set_config('chimeway.frozen_clock', $1::timestamptz::text, false)", moment
    )


@asynccontextmanager
async def standing_still(connection: Connection) -> AsyncIterator[Connection]:
    """Stop the clock within a transaction that is rolled back; the invariants must hold then."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        await freeze(connection)
        yield connection
        await check_invariants(connection)
    finally:
        await transaction.rollback()
