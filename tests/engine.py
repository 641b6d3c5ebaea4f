"""The words of the SQL tests: configure a channel, insert, claim, record, look, and be sure.

Each test has the queue to itself; whatever is due on a channel is what `claim` returns.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, assert_never
from uuid import UUID

import anyio
import asyncpg

from chimewayd.models import Delivery, Status, Verdict

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

LEASE = timedelta(seconds=60)
BLOCKED_WITHIN_SECONDS = 10

POLICY: dict[str, Any] = {
    "adapter": "sink",
    "max_attempts": 5,
    "backoff_base": timedelta(seconds=30),
    "backoff_factor": 2.0,
    "backoff_cap": timedelta(hours=6),
    "backoff_jitter": 0.0,
    "backoff_schedule": None,
    "retry_after_cap": timedelta(hours=24),
    "max_age": None,
    "on_uncertain": "retry",
    "fallback": None,
    "rate_calls": None,
    "rate_per": None,
    "rate_burst": None,
}
"""A channel whose waits are exact: 30 s, 60 s, 120 s …"""

BROKEN_INVARIANTS = (Path(__file__).parent / "sql" / "broken_invariants.sql").read_text()

T = TypeVar("T")


async def configure(connection: Connection, name: str = "email", **policy: Any) -> None:
    """Write a channel's policy: POLICY but for what is given."""
    values = (POLICY | policy).values()
    places = ", ".join(f"${n}" for n in range(1, len(values) + 2))
    await connection.execute(f"select chimeway.configure_channel({places})", name, *values)


async def insert(connection: Connection, **columns: Any) -> UUID:
    """Insert one delivery, due now on channel email but for what is given; return its id."""
    row = {"channel": "email", "recipient": "ada@example.org", "payload": "{}"} | columns
    places = ", ".join(f"${n}" for n in range(1, len(row) + 1))
    delivery_id: UUID = await connection.fetchval(
        f"insert into chimeway.deliveries ({', '.join(row)}) values ({places}) returning id",  # noqa: S608 - the tests' own column names
        *row.values(),
    )
    return delivery_id


async def claim(
    connection: Connection,
    *channels: str,
    slots: int | Sequence[int] = 100,
    limit: int = 500,
    lease: timedelta = LEASE,
    arm: bool = False,
    daemon_id: int = 1,
    takes_suspect: bool = True,
) -> list[Delivery]:
    """Claim as daemon d1, from channel email if none is named."""
    wanted = channels or ("email",)
    rows = await connection.fetch(
        "select * from chimeway.claim($1, 'd1', $2, $3, $4, $5, $6, $7)",
        daemon_id,
        wanted,
        [slots] * len(wanted) if isinstance(slots, int) else slots,
        limit,
        lease,
        arm,
        takes_suspect,
    )
    return [Delivery._make(row) for row in rows]


async def claim_one(connection: Connection, **columns: Any) -> Delivery:
    """Insert one delivery and claim it."""
    delivery_id = await insert(connection, **columns)
    (delivery,) = await claim(connection, columns.get("channel", "email"))
    assert delivery.delivery_id == delivery_id
    return delivery


async def record(
    connection: Connection, delivery: Delivery, kind: str = "succeeded", **report: Any
) -> Verdict:
    """Record one call; `report` may name any other parameter of chimeway.record, unprefixed."""
    said = {
        "started_ago": 0.0,
        "finished_ago": 0.0,
        "detail": None,
        "status_code": None,
        "response": None,
        "provider_message_id": None,
        "retry_after": None,
    } | report
    row = await connection.fetchrow(
        "select * from chimeway.record('d1', $1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        [delivery.delivery_id],
        [delivery.claim_id],
        [kind],
        *([value] for value in said.values()),
    )
    assert row is not None
    return Verdict._make(row[1:])


async def record_all(
    connection: Connection, endings: Sequence[tuple[Delivery, str]]
) -> dict[UUID, Verdict]:
    """Record a batch in one call; return its verdicts by delivery."""
    nothing = [None] * len(endings)
    rows = await connection.fetch(
        "select * from chimeway.record('d1', $1, $2, $3, $4, $4, $5, $6, $5, $5, $7)",
        [delivery.delivery_id for delivery, _ in endings],
        [delivery.claim_id for delivery, _ in endings],
        [kind for _, kind in endings],
        [0.0] * len(endings),
        *[nothing] * 3,
    )
    assert len(rows) == len(endings)
    return {endings[nth - 1][0].delivery_id: Verdict._make(said) for nth, *said in rows}


async def delivery_in(connection: Connection, status: Status) -> UUID:
    """Bring a new delivery into a state by the ordinary way."""
    match status:
        case Status.PENDING:
            return await insert(connection)
        case Status.DISPATCHED:
            return (await claim_one(connection)).delivery_id
        case Status.FAILED:
            return await ended(connection, "temporary")
        case Status.SUCCEEDED:
            return await ended(connection, "succeeded")
        case Status.SUPPRESSED | Status.CANCELLED:
            verb = "cancel" if status is Status.CANCELLED else "suppress"
            delivery_id = await insert(connection)
            await operate(connection, verb, delivery_id, "no longer wanted", "ops")
            return delivery_id
        case _:
            assert_never(status)


async def ended(connection: Connection, kind: str, **columns: Any) -> UUID:
    """Insert, claim and record one delivery; return its id."""
    delivery = await claim_one(connection, **columns)
    await record(connection, delivery, kind)
    return delivery.delivery_id


async def operate(connection: Connection, verb: str, *arguments: Any) -> asyncpg.Record:
    """Call an operator's function; return its answer: changed, (status,) message."""
    places = ", ".join(f"${n}" for n in range(1, len(arguments) + 1))
    answer = await connection.fetchrow(
        f"select * from chimeway.{verb}({places})",  # noqa: S608 - the tests' own verbs
        *arguments,
    )
    assert answer is not None
    return answer


async def look(connection: Connection, delivery_id: UUID) -> asyncpg.Record:
    """Return the delivery's row."""
    row = await connection.fetchrow("select * from chimeway.deliveries where id = $1", delivery_id)
    assert row is not None
    return row


async def jobs_of(connection: Connection, delivery_id: UUID) -> list[asyncpg.Record]:
    return await connection.fetch(
        "select *, due_at::text as due from chimeway.jobs where delivery_id = $1", delivery_id
    )


async def attempts_of(connection: Connection, delivery_id: UUID) -> list[asyncpg.Record]:
    return await connection.fetch(
        "select * from chimeway.delivery_attempts where delivery_id = $1 order by attempt_number",
        delivery_id,
    )


async def events_of(connection: Connection, delivery_id: UUID) -> list[asyncpg.Record]:
    return await connection.fetch(
        "select * from chimeway.delivery_events where delivery_id = $1 order by id", delivery_id
    )


async def move_clock(connection: Connection, offset: timedelta) -> None:
    """Set chimeway's clock this far from the real one, for this connection."""
    await connection.execute(
        "select set_config('chimeway.test_clock_offset', $1::interval::text, false)", offset
    )


@asynccontextmanager
async def blocked(
    observer: Connection, waiter: Connection, call: Callable[[], Awaitable[T]]
) -> AsyncIterator[list[T]]:
    """Start a call on `waiter`; enter the body when it waits for a lock that another one holds.

    Its answer is in the list after the body.
    """
    answers: list[T] = []
    pid = waiter.get_server_pid()

    async def run() -> None:
        answers.append(await call())

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        with anyio.fail_after(BLOCKED_WITHIN_SECONDS):
            while not await observer.fetchval("select cardinality(pg_blocking_pids($1)) > 0", pid):
                await anyio.lowlevel.checkpoint()
        yield answers


async def check_invariants(connection: Connection) -> None:
    """Make sure that no delivery is stranded, doubled or miscounted."""
    problems = [row[0] for row in await connection.fetch(BROKEN_INVARIANTS)]
    assert problems == []


class Bell:
    """A sleeping daemon's ear on the doorbell."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._heard: list[str] = []

    async def listen(self) -> None:
        await self._connection.add_listener("chimeway_jobs", self._hear)

    async def arm(self) -> None:
        """Say that a daemon goes to sleep."""
        await self._connection.execute("select nextval('chimeway.bell_armed')")

    async def ring(self) -> None:
        """Ring as somebody else's commit does."""
        await self._connection.execute("select chimeway.ring()")

    async def rings(self) -> int:
        """Count what rang so far; a ring of our own, behind all others, says that it is all."""
        await self._connection.execute("select pg_notify('chimeway_jobs', 'the last one')")
        with anyio.fail_after(BLOCKED_WITHIN_SECONDS):
            while "the last one" not in self._heard:
                await anyio.lowlevel.checkpoint()
        rings = len(self._heard) - 1
        self._heard.clear()
        return rings

    def _hear(self, *ring: Any) -> None:
        self._heard.append(ring[-1])
