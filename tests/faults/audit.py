"""Compare what the producers were told, what the database holds, and what the receiver saw.

acknowledged ⊆ in the database = terminal + waiting for a reason that explain gives
calls of a delivery ≤ its attempts           a call without an attempt is unaccounted for
calls of a delivery ≥ its answered attempts  an attempt with an answer was really made
logged attempts ⊆ recorded attempts
what was terminal once is the same now
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
from engine import BROKEN_INVARIANTS

from faults.cluster import NOT_YET, Connection
from faults.load import Told

SHOWN = 3

SNAPSHOT_TABLE = """
create table if not exists faults.terminal (
  id uuid primary key, status text, reason text, finished_at timestamptz, attempt_count integer)
"""
SNAPSHOT = """
insert into faults.terminal
select d.id, d.status, d.suppression_reason, d.finished_at, d.attempt_count
from chimeway.deliveries as d
where d.finished_at is not null
on conflict do nothing
"""
CHANGED = """
select t.id
from faults.terminal as t
left join chimeway.deliveries as d on d.id = t.id
where (d.status, d.suppression_reason, d.finished_at, d.attempt_count)
  is distinct from (t.status, t.reason, t.finished_at, t.attempt_count)
"""
# An outcome that was recorded under a token that was somebody else's, or twice under its own.
TOKENS_USED_TWICE = """
select a.delivery_id, a.claim_id
from chimeway.delivery_attempts as a
group by a.delivery_id, a.claim_id
having count(*) > 1
"""
DELIVERIES = """
select d.id, d.channel, d.recipient, d.status, d.suppression_reason, d.finished_at is not null,
  count(a.attempt_number),
  count(*) filter (where a.status_code is not null),
  count(*) filter (where a.status_code >= 300),
  coalesce(array_agg(a.attempt_number) filter (where a.attempt_number is not null), '{}')
from chimeway.deliveries as d
left join chimeway.delivery_attempts as a on a.delivery_id = d.id
group by d.id
"""
WAITING = """
-- Numbers differ from row to row: what is the same but for them is one reason.
select regexp_replace(n.what || ': ' || coalesce(n.why, 'no reason'), '[0-9][0-9.]*', 'n', 'g')
from chimeway.deliveries as d
cross join lateral chimeway.explain(d.id) as n
where d.id = any ($1) and n.event = 'next'
"""


class Row(NamedTuple):
    """A delivery and a summary of its attempts."""

    id: UUID
    channel: str
    recipient: str
    status: str
    reason: str | None
    is_terminal: bool
    attempts: int
    answered: int
    refused: int
    """Answered, and the answer was no."""
    numbers: Sequence[int]


@dataclass(frozen=True, slots=True)
class Audit:
    """What the comparison came to."""

    inserted: int
    terminal: int
    waiting: Mapping[str, int]
    """What explain says of those that are not terminal, and of how many."""
    duplicates: int
    """Calls at the receiver beyond the first one of each delivery."""
    accounted: int
    """Of these, as many as follow a recorded attempt that did not succeed."""
    endings: Mapping[str, int]
    problems: Sequence[str]


@dataclass(frozen=True, slots=True)
class Expected:
    """What a case may ask for beyond the promises that hold always."""

    works: str | None
    """Deliveries to recipients that begin so must succeed."""
    once: frozenset[str]
    """Channels whose doubts end as outcome_unknown: never more than one unanswered call."""
    duplicates_at_most: int
    waits: bool
    """Whether deliveries may be left waiting for a reason."""


async def note_terminal(connection: Connection) -> None:
    """Keep what is terminal now, to be compared at the end."""
    try:
        await connection.execute(SNAPSHOT_TABLE)
        await connection.execute(SNAPSHOT)
    except (*NOT_YET, asyncpg.PostgresError):
        return  # the fault is there: the next look sees as much


async def audit(
    connection: Connection,
    told: Told,
    calls: Counter[UUID],
    logged: Iterable[Mapping[str, Any]],
    expected: Expected,
) -> Audit:
    """Compare everything with everything."""
    rows = {row[0]: Row._make(row) for row in await connection.fetch(DELIVERIES)}
    open_ids = [row.id for row in rows.values() if not row.is_terminal]
    waiting = Counter([row[0] for row in await connection.fetch(WAITING, open_ids)])
    await connection.execute(SNAPSHOT_TABLE)
    problems = [
        *[f"invariant: {row[0]}" for row in await connection.fetch(BROKEN_INVARIANTS)],
        *_some("was terminal and changed", await _ids(connection, CHANGED)),
        *_some("has two attempts of one claim", await _ids(connection, TOKENS_USED_TWICE)),
        *_lost(told, rows, calls),
        *_miscounted(rows, calls),
        *_unrecorded(rows, logged),
        *_unexpected(rows, calls, expected),
    ]
    duplicates, accounted = _duplicates(rows, calls)
    if duplicates > accounted:
        problems.append(f"{duplicates - accounted} duplicates are not accounted for")
    if duplicates > expected.duplicates_at_most:
        problems.append(f"{duplicates} duplicates, at most {expected.duplicates_at_most} expected")
    if open_ids and not expected.waits:
        problems.append(f"{len(open_ids)} are not terminal: {dict(waiting)}")
    endings = Counter(f"{row.status} {row.reason or ''}".strip() for row in rows.values())
    terminal = len(rows) - len(open_ids)
    return Audit(len(rows), terminal, dict(waiting), duplicates, accounted, dict(endings), problems)


async def _ids(connection: Connection, sql: str) -> list[UUID]:
    return [row[0] for row in await connection.fetch(sql)]


def _lost(told: Told, rows: Mapping[UUID, Row], calls: Mapping[UUID, int]) -> Iterator[str]:
    yield from _some("was acknowledged and is not there", told.acknowledged - rows.keys())
    yield from _some("is there and nobody inserted it", rows.keys() - told.tried)
    yield from _some("was rolled back and sent", told.rolled_back & calls.keys())
    yield from _some("was sent and is not there", calls.keys() - rows.keys())


def _miscounted(rows: Mapping[UUID, Row], calls: Mapping[UUID, int]) -> Iterator[str]:
    ended = [row for row in rows.values() if row.is_terminal]
    more = [row.id for row in ended if calls.get(row.id, 0) > row.attempts]
    fewer = [row.id for row in ended if calls.get(row.id, 0) < row.answered]
    yield from _some("was called more often than it has attempts", more)
    yield from _some("has attempts with an answer that were never made", fewer)


def _unrecorded(rows: Mapping[UUID, Row], logged: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    missing = {
        row_id
        for line in logged
        if line.get("event") == "attempt_recorded"
        for row_id in [UUID(line["delivery_id"])]
        if row_id not in rows or line["attempt"] not in rows[row_id].numbers
    }
    yield from _some("has a logged attempt that is not in its history", missing)


def _unexpected(
    rows: Mapping[UUID, Row], calls: Mapping[UUID, int], expected: Expected
) -> Iterator[str]:
    once = [row for row in rows.values() if row.channel in expected.once]
    twice = [row.id for row in once if calls.get(row.id, 0) > 1 + row.refused]
    yield from _some("must be sent at most once and was sent again", twice)
    if expected.works is not None:
        others = [row for row in rows.values() if row.channel not in expected.once]
        works = [row for row in others if row.recipient.startswith(expected.works)]
        failed = [row.id for row in works if row.is_terminal and row.status != "succeeded"]
        yield from _some("could be delivered and was not", failed)


def _duplicates(rows: Mapping[UUID, Row], calls: Mapping[UUID, int]) -> tuple[int, int]:
    duplicates = accounted = 0
    for delivery_id, count in calls.items():
        row = rows.get(delivery_id)
        failures = row.attempts - (row.status == "succeeded") if row else 0
        duplicates += count - 1
        accounted += min(count - 1, failures)
    return duplicates, accounted


def _some(problem: str, ids: Iterable[UUID]) -> Iterator[str]:
    found = sorted(ids)
    if found:
        shown = ", ".join(map(str, found[:SHOWN]))
        yield f"{len(found)} times: {problem}: {shown}{' …' if len(found) > SHOWN else ''}"
