"""The daemon's sessions are ended, or there is no room for new ones."""

import anyio
import asyncpg

from faults.cluster import NOT_YET, Connection, connected
from faults.round import Case, Round

ROLES = ("claims", "claims-2", "records", "records-2", "upkeep", "listener")
ROOM = 16
FULL_SECONDS = 5.0
TERMINATE = """
select count(pg_terminate_backend(pid)) from pg_stat_activity
where application_name like 'chimewayd/' || $1 and pid <> pg_backend_pid()
"""


async def terminate_each(round_: Round) -> None:
    """Each session by itself, in random order, and then all of them, twice."""
    await round_.daemon()
    roles = round_.random.sample(ROLES, len(ROLES))
    async with connected(round_.cluster.dsn) as connection:
        for role in (*roles, "%", *roles, "%"):
            await round_.moment(0.2, 0.6)
            await connection.fetchval(TERMINATE, role)
    round_.recovers_from_now()
    await round_.moment()


async def no_room(round_: Round) -> None:
    """Every connection that the server allows is somebody else's, for a while."""
    await round_.daemon()
    await round_.moment()
    taken: list[Connection] = []
    async with connected(round_.cluster.dsn) as connection, anyio.create_task_group() as group:
        group.start_soon(_take_all, round_.cluster.dsn, taken)
        await connection.fetchval(TERMINATE, "%")
        await anyio.sleep(FULL_SECONDS)
        group.cancel_scope.cancel()
    for one in taken:
        one.terminate()
    round_.expect(len(taken) > 1, "no connection could be taken away")
    round_.recovers_from_now()
    await round_.moment()


async def _take_all(dsn: str, taken: list[Connection]) -> None:
    while True:
        try:
            taken.append(await asyncpg.connect(dsn, timeout=5))
        except (*NOT_YET, asyncpg.PostgresError):
            await anyio.sleep(0.01)


CASES = (
    Case(
        "terminate",
        "pg_terminate_backend of each session, and of all",
        terminate_each,
        starts_within=2,
    ),
    Case(
        "connections",
        f"max_connections reached for {FULL_SECONDS:g} s",
        no_room,
        postgres={"max_connections": f"{ROOM}", "superuser_reserved_connections": "0"},
    ),
)
