"""The SQL text of the commands: one coroutine per question or operation, on a connection of theirs.

`db.py` is the same for the daemon.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg

from chimewayd.models import Step
from chimewayd.session import BULK_TIMEOUT

PAUSE_CHANNEL = "select changed, message from chimeway.pause_channel($1, $2, $3)"
RESUME_CHANNEL = "select changed, message from chimeway.resume_channel($1, $2)"
EXPLAIN = "select step, happened_at, event, what, why, facts from chimeway.explain($1)"
STATS = """
select channel, adapter, served_by, paused_at, pause_reason, due, scheduled, held, in_flight,
  oldest_due_age, succeeded, suppressed, cancelled, limited_by, limited_until, limited_why
from chimeway.stats()
"""
EACH = "select t.id, v.changed, v.message from unnest($1::uuid[]) as t (id) "
VERBS = {
    "cancel": "cross join lateral chimeway.cancel(t.id, $2, $3) as v",
    "suppress": "cross join lateral chimeway.suppress(t.id, $2, $3) as v",
    "replay": "cross join lateral chimeway.replay(t.id, $2, $3) as v",
    "hold": "cross join lateral chimeway.hold(t.id, $2, $3) as v",
    "release": "cross join lateral chimeway.release(t.id, $2) as v",
}
FIND_DELIVERIES = """
select f.id, f.inserted_at <= $9 and f.status = any ($10::text[]) as is_selected
from chimeway.find_deliveries($1, $2, $3, $4, $5, $6, $7, $8) as f
order by f.id
"""
COUNT_DELIVERIES = """
select f.status, count(*)
from chimeway.find_deliveries(null, null, $1, $2, $3, $4, $5, $6) as f
where f.inserted_at <= $7
group by f.status
"""
LOOK_UP = """
select d.id, d.status
from chimeway.deliveries as d
where d.id = any ($1::uuid[]) and ($2::text is null or d.tenant_id = $2)
"""
LIST_DELIVERIES = """
select id, channel, recipient, tenant_id, status, suppression_reason, attempt_count, inserted_at,
  next_attempt_at, finished_at
from chimeway.list_deliveries($1, $2, $3, $4, $5, $6, $7, $8)
"""
RECENT_ATTEMPTS = """
select finished_at, delivery_id, attempt_number, channel, recipient, tenant_id, outcome,
  error_class, status_code, duration, next_attempt_at, daemon_name, detail
from chimeway.recent_attempts($1, $2, $3, $4, $5, $6)
"""
GROUP_FAILURES = """
select f.channel, f.outcome, f.error_class, f.status_code, f.attempts as calls, f.deliveries,
  f.given_up, f.newest_at, f.newest_delivery_id, f.newest_detail
from chimeway.group_failures($1, $2, $3, $4) as f
"""
PRUNE = "select next_after, looked_at, redacted, deleted from chimeway.prune(null, $1, $2, $3)"
RETENTION = """
select c.name as channel, c.redact_after, c.delete_after
from chimeway.channels as c
where coalesce(c.redact_after, c.delete_after) is not null
order by c.name
"""
ESTIMATE = """
select greatest(c.reltuples, 0)::bigint from pg_class as c
where c.oid = 'chimeway.deliveries'::regclass
"""
FIND_BY_IDEMPOTENCY_KEY = """
select d.id
from chimeway.deliveries as d
where d.idempotency_key = $2 and (d.tenant_id = $1 or ($1 is null and d.tenant_id is null))
"""
SEND = """
insert into chimeway.deliveries (
  channel, recipient, payload, metadata, idempotency_key, tenant_id, notification_key,
  correlation_id, priority, max_attempts, scheduled_at, expires_at)
select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, due.at, due.at + $13::interval
from (select coalesce($11::timestamptz, now() + $12::interval, now()) as at) as due
returning id
"""


async def explain(connection: asyncpg.Connection, delivery_id: UUID) -> list[dict[str, Any]]:
    """Return the timeline of a delivery, a dict a step, facts still as JSON text.

    Raises:
        DeliveryNotFound: no delivery has this id.
    """
    return [dict(row) for row in await connection.fetch(EXPLAIN, delivery_id)]


async def stats(connection: asyncpg.Connection) -> list[dict[str, Any]]:
    """Return one dict a channel: what waits, what is in flight, what ended."""
    return [dict(row) for row in await connection.fetch(STATS)]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDelivery:
    """A delivery to insert, in the words of `chimeway.deliveries` and the order of SEND."""

    channel: str
    recipient: str
    payload_json: str
    metadata_json: str = "{}"
    idempotency_key: str | None = None
    tenant_id: str | None = None
    notification_key: str | None = None
    correlation_id: str | None = None
    priority: int = 0
    max_attempts: int | None = None
    scheduled_at: datetime | None = None
    scheduled_in: timedelta | None = None
    """Instead of `scheduled_at`: from now, by the database's clock."""
    expires_in: timedelta | None = None
    """From when it is due."""


async def send(connection: asyncpg.Connection, delivery: NewDelivery) -> UUID:
    """Insert one delivery; what the database refuses arrives as its own error."""
    inserted: UUID = await connection.fetchval(SEND, *astuple(delivery))
    return inserted


async def find_by_idempotency_key(
    connection: asyncpg.Connection, tenant_id: str | None, key: str | None
) -> UUID | None:
    found: UUID | None = await connection.fetchval(FIND_BY_IDEMPOTENCY_KEY, tenant_id, key)
    return found


async def operate_channel(connection: asyncpg.Connection, sql: str, *given: str) -> dict[str, Any]:
    """Run PAUSE_CHANNEL or RESUME_CHANNEL and return its row: changed, message."""
    return dict((await connection.fetch(sql, *given))[0])


class Answer(NamedTuple):
    delivery_id: UUID
    changed: bool
    message: str


async def operate(
    connection: asyncpg.Connection, verb: str, ids: Sequence[UUID], *arguments: object
) -> list[Answer]:
    """Apply a verb to these deliveries, in this order, all of them or none.

    Raises:
        DeliveryNotFound, TransitionRefused, InvalidArgument: as the SQL function says of one.
    """
    rows = await connection.fetch(EACH + VERBS[verb], ids, *arguments, timeout=BULK_TIMEOUT)
    return [Answer._make(row) for row in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The filters of `chimeway.find_deliveries`, in its order (None: any), and one more."""

    channel: str | None = None
    status: str | None = None
    reason: str | None = None
    since: datetime | None = None
    recipient: str | None = None
    tenant_id: str | None = None
    until: datetime  # what is inserted later was not counted


async def now(connection: asyncpg.Connection) -> datetime:
    moment: datetime = await connection.fetchval("select now()")
    return moment


async def count_deliveries(connection: asyncpg.Connection, selection: Selection) -> dict[str, int]:
    return dict(await _pairs(connection, COUNT_DELIVERIES, *astuple(selection)))


async def find_deliveries(
    connection: asyncpg.Connection,
    after: UUID | None,
    limit: int,
    selection: Selection,
    statuses: Sequence[str],
) -> list[tuple[UUID, bool]]:
    """Return the next page of the filters' matches, and whether status and `until` fit as well."""
    return await _pairs(connection, FIND_DELIVERIES, after, limit, *astuple(selection), statuses)


async def list_deliveries(
    connection: asyncpg.Connection, before: UUID | None, limit: int, selection: Selection
) -> list[dict[str, Any]]:
    """Return a page of what the filters match, newest first; `until` is not looked at."""
    *filters, _until = astuple(selection)
    rows = await connection.fetch(LIST_DELIVERIES, before, limit, *filters, timeout=BULK_TIMEOUT)
    return [dict(row) for row in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """The filters of `chimeway.recent_attempts`, in its order; None: any."""

    channel: str | None = None
    failed_only: bool = False
    recipient: str | None = None
    tenant_id: str | None = None


async def recent_attempts(
    connection: asyncpg.Connection, since: datetime, limit: int, watched: Watched
) -> list[dict[str, Any]]:
    """Return the attempts that ended since then, newest first."""
    rows = await connection.fetch(RECENT_ATTEMPTS, since, limit, *astuple(watched))
    return [dict(row) for row in rows]


async def group_failures(
    connection: asyncpg.Connection,
    since: datetime,
    limit: int,
    channel: str | None,
    tenant_id: str | None,
) -> list[dict[str, Any]]:
    """Return one dict a kind of failure, the most frequent first."""
    given = (since, limit, channel, tenant_id)
    rows = await connection.fetch(GROUP_FAILURES, *given, timeout=BULK_TIMEOUT)
    return [dict(row) for row in rows]


async def look_up(
    connection: asyncpg.Connection, ids: Sequence[UUID], tenant_id: str | None
) -> dict[UUID, str]:
    """Return the status of those that exist, and belong to the tenant if one is given."""
    return dict(await _pairs(connection, LOOK_UP, ids, tenant_id))


async def _pairs(connection: asyncpg.Connection, sql: str, *given: object) -> list[tuple[Any, Any]]:
    rows = await connection.fetch(sql, *given, timeout=BULK_TIMEOUT)
    return [(row[0], row[1]) for row in rows]


async def retention(connection: asyncpg.Connection) -> list[dict[str, Any]]:
    """Return the ages of each channel that has one."""
    return [dict(row) for row in await connection.fetch(RETENTION)]


async def estimate_deliveries(connection: asyncpg.Connection) -> int:
    """Return about how many deliveries there are, without counting them."""
    count: int = await connection.fetchval(ESTIMATE)
    return count


async def prune(
    connection: asyncpg.Connection, after: UUID | None, limit: int, *, is_dry_run: bool
) -> Step:
    """Take one step of retention, whoever else does."""
    rows = await connection.fetch(PRUNE, after, limit, is_dry_run, timeout=BULK_TIMEOUT)
    return Step._make(rows[0])
