"""What a migration is at, on a terminal while it lasts.

Which migration of how many, the migration itself tells. How far Postgres is with an index, a second
session asks, which knows the first by the lock that it holds. What fails there costs the line its
figures, and the migration nothing.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import anyio

from chimewayd import migrate, session
from chimewayd.cli.progress import line
from chimewayd.cli.session import Sources

LOOK_SECONDS = 0.5

LOOK = """
select
  case when activity.wait_event_type = 'Lock' then pg_catalog.pg_blocking_pids(activity.pid)
    else '{}' end as waits_for,
  progress.index_relid as index_id,
  progress.phase,
  case when progress.blocks_total > 0 then 'blocks' else 'rows' end as unit,
  case when progress.blocks_total > 0 then progress.blocks_done else progress.tuples_done end
    as done,
  case when progress.blocks_total > 0 then progress.blocks_total else progress.tuples_total end
    as total
from pg_catalog.pg_locks as held
join pg_catalog.pg_stat_activity as activity on activity.pid = held.pid
left join pg_catalog.pg_stat_progress_create_index as progress on progress.pid = held.pid
where held.locktype = 'advisory' and held.granted and held.objsubid = 1
  and held.database = (
    select oid from pg_catalog.pg_database where datname = pg_catalog.current_database())
  and held.classid = $1 and held.objid = $2
"""
"""Source: PostgreSQL documentation, "pg_locks": how the halves of a bigint key are shown."""


@dataclass(frozen=True, slots=True)
class Look:
    """What Postgres said of the migrating session, and when."""

    at: float
    waits_for: Sequence[int] = ()
    """Sessions that hold a lock which it needs."""
    index_id: int | None = None
    phase: str | None = None
    """Of an index; None: there is none being built."""
    unit: str = "blocks"
    done: int | None = None
    total: int | None = None

    def goes_on_with(self, other: "Look") -> bool:
        """Whether both count the same."""
        return (self.index_id, self.phase, self.unit, self.total) == (
            other.index_id,
            other.phase,
            other.unit,
            other.total,
        )


def describe(first: Look, last: Look) -> str:
    """Say what goes on; `first` is when the same was first seen, and makes the rate."""
    if last.waits_for:
        return f"waits for a lock of session {', '.join(map(str, last.waits_for))}"
    if last.phase is None:
        return f"for {_clock(last.at - first.at)}"
    if not last.total or last.done is None:
        return last.phase
    parts = [f"{last.done / last.total:.0%}"]
    if last.at > first.at:
        rate = (last.done - (first.done or 0)) / (last.at - first.at)
        parts.append(f"{rate:,.0f} {last.unit}/s")
        if rate > 0:
            parts.append(f"{_clock((last.total - last.done) / rate)} left")
    return ", ".join([*parts, last.phase])


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Watch:
    """Tells `show` which migration is at work, and while it looks, how far that is."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self._title = "migrate: another one is at work"
        self._first: Look | None = None

    def begin(self, step: migrate.Step) -> None:
        """Hear from the migration what it does next."""
        self._title = f"migrate {step.number}/{step.total} {step.name}"
        self._first = Look(time.monotonic())
        self._show(self._title)

    async def look(self, sources: Sources) -> None:
        """Ask until cancelled, or until something fails."""
        # Most have nothing to do, or little: no session is opened for them.
        await anyio.sleep(LOOK_SECONDS)
        connection = await session.connect(sources.load().dsn.get_secret_value(), role="progress")
        try:
            while True:
                row = await connection.fetchrow(LOOK, migrate.LOCK >> 32, migrate.LOCK % 2**32)
                if row is not None:
                    self._tell(Look(time.monotonic(), **row))
                await anyio.sleep(LOOK_SECONDS)
        finally:
            connection.terminate()

    def _tell(self, last: Look) -> None:
        if self._first is None or not last.goes_on_with(self._first):
            self._first = last
        self._show(f"{self._title}: {describe(self._first, last)}")


@asynccontextmanager
async def watched(
    sources: Sources, *, hidden: bool
) -> AsyncIterator[Callable[[migrate.Step], None]]:
    """Yield what to call with each step; what it is at is shown until the end."""
    with line(hidden=hidden) as show:
        if show is None:
            yield lambda _: None
            return
        watch = Watch(show)

        async def look() -> None:
            # Whatever it is: the migration goes on, and ends as it would.
            with suppress(Exception):
                await watch.look(sources)

        # No task group: it would wrap the migration's own errors.
        looking = asyncio.create_task(look())
        try:
            yield watch.begin
        finally:
            looking.cancel()
