"""The state machine's database: one connection, driven from synchronous code, and its whole state.

The machine of hypothesis is not async; the loop runs for as long as one call takes.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

import asyncpg
import uvloop
from delivery_row import Moment, Row
from engine import BROKEN_INVARIANTS
from frozen_clock import freeze

T = TypeVar("T")

# Rows are deleted and not truncated: a file for each table and run would be most of the work.
# What a session remembers of its last run would make a failure irreproducible.
EMPTY = """
reset all;
set session_replication_role = replica; -- retention alone deletes what has ended
update chimeway.channels
set enabled = true, paused_at = null, paused_by = null, pause_reason = null;
delete from chimeway.deliveries;
delete from chimeway.jobs;
delete from chimeway.claims;
delete from chimeway.delivery_attempts;
delete from chimeway.delivery_events;
delete from chimeway.suppressions;
delete from chimeway.tallies;
delete from chimeway.daemons;
delete from chimeway.rates;
delete from chimeway.breakers;
delete from chimeway.fallbacks;
reset session_replication_role;
"""

STATE = """
select d.id, d.status, d.suppression_reason, d.attempt_count, d.attempts_before, d.lost_count,
  d.series, d.claim_id, d.requested_status, d.requested_reason,
  extract(epoch from d.next_attempt_at)::double precision,
  extract(epoch from d.expires_at)::double precision,
  extract(epoch from j.due_at)::double precision,
  array(
    select (a.attempt_number, a.series, a.claim_id, a.outcome, a.error_class)
    from chimeway.delivery_attempts as a
    where a.delivery_id = d.id
    order by a.attempt_number),
  array(
    select e.event from chimeway.delivery_events as e where e.delivery_id = d.id order by e.id)
from chimeway.deliveries as d
left join chimeway.jobs as j on j.delivery_id = d.id
"""

UNEXPLAINED = """
select d.id, d.status, e.events, e.unsaid
from chimeway.deliveries as d
cross join lateral (
  select array_agg(x.event order by x.step) as events,
    array_agg(x.event) filter (where coalesce(x.what, '') = ''
      or x.event in ('next', 'decided', 'claimed') and coalesce(x.why, '') = '') as unsaid
  from chimeway.explain(d.id) as x
) as e
where e.unsaid is not null
  or e.events[1] <> 'inserted'
  or e.events[cardinality(e.events)] is distinct from 'next'
  or cardinality(array_positions(e.events, 'next')) <> 1
  or cardinality(array_positions(e.events, 'claimed')) <> (d.status = 'dispatched')::integer
  or cardinality(array_positions(e.events, 'attempt'))
    <> d.attempt_count - (d.status = 'dispatched')::integer
  or cardinality(array_positions(e.events, 'decided'))
    <> cardinality(array_positions(e.events, 'attempt'))
"""


class Stored(NamedTuple):
    """All that must agree between a row of the database and one of the model."""

    status: str
    reason: str | None
    attempt_count: int
    attempts_before: int
    lost_count: int
    series: int
    token: int | None
    requested_status: str | None
    requested_reason: str | None
    next_attempt_at: Moment | None
    expires_at: Moment | None
    job: Moment | None
    attempts: list[tuple[Any, ...]]
    events: list[str]


def as_stored(row: Row) -> Stored:
    """Say what the database must hold for a row of the model."""
    requested_status, requested_reason = row.requested or (None, None)
    return Stored(
        row.status,
        row.reason,
        row.attempt_count,
        row.attempts_before,
        row.lost_count,
        row.series,
        row.token,
        requested_status,
        requested_reason,
        row.next_attempt_at,
        row.expires_at,
        row.job,
        list(row.attempts),
        row.events,
    )


class MachineDatabase:
    """A migrated database of the machine's own, with a clock that stands still."""

    def __init__(self, dsn: str) -> None:
        self.steps = 0
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self.connection = self.run(asyncpg.connect(dsn))
        self.run(freeze(self.connection))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.run(self.connection.close())
        self._runner.close()

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        """Wait for one call; raise what it raises."""
        return self._runner.get_loop().run_until_complete(call)

    def empty(self) -> None:
        self.run(self.connection.execute(EMPTY))

    def differences(self, rows: Iterable[Row]) -> list[str]:
        """Say where the database is not what the model has."""
        stored = self.run(self.connection.fetch(STATE))
        found = {row[0]: Stored._make(row[1:]) for row in map(tuple, stored)}
        expected = {row.delivery_id: as_stored(row) for row in rows}
        assert len(stored) == len(found) == len(expected), "a delivery has two jobs or is gone"
        return [
            f"{delivery_id}: {name} is {there}, expected {wanted}"
            for delivery_id, row in expected.items()
            for name, there, wanted in zip(Stored._fields, found[delivery_id], row, strict=True)
            if there != wanted
        ]

    def problems(self) -> list[object]:
        """Return broken invariants and deliveries of which explain does not tell everything."""
        return [
            *(row[0] for row in self.run(self.connection.fetch(BROKEN_INVARIANTS))),
            *map(tuple, self.run(self.connection.fetch(UNEXPLAINED))),
        ]
