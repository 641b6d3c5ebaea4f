"""The SQL text of the daemon: one coroutine per SQL function, same name.

Rows become models here and nowhere else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from operator import itemgetter
from uuid import UUID

from chimewayd.config_channel import BreakerPolicy, ChannelConfig
from chimewayd.errors import UnexpectedAnswer
from chimewayd.models import (
    Claimed,
    Delivery,
    Ended,
    Lost,
    OpenBreaker,
    QueueFigures,
    Report,
    Room,
    Step,
    Verdict,
    kind_of,
)
from chimewayd.session import Session


def _select(columns: tuple[str, ...], call: str) -> str:
    return f"select {', '.join(columns)} from chimeway.{call}"  # noqa: S608 - our own names


CLAIM = _select(Delivery._fields, "claim($1, $2, $3, $4, $5, $6, $7, $8)")
RECORD = f"""
select array_agg(r.nth), {", ".join(Verdict._fields)}
from chimeway.record($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) as r
group by {", ".join(Verdict._fields)}
"""  # noqa: S608 - our own names
RECORD_UNLOCKED = RECORD.replace("chimeway.record", "chimeway.record_unlocked")
EVIDENCE = ("detail", "status_code", "response", "provider_message_id", "retry_after")
RELEASE_UNSENT = "select delivery_id from chimeway.release_unsent($1, $2, $3, $4, $5)"
OPEN_BREAKER = "select changed from chimeway.open_breaker($1, $2, $3, $4, $5, $6)"
OPEN_BREAKERS = _select(OpenBreaker._fields, "open_breakers($1)")
SERVING_DAEMONS = "select channel, daemons from chimeway.serving_daemons($1)"
FIND_UNHEARD = _select(Claimed._fields, "find_unheard($1, $2, $3)")
PAUSE_CHANNEL = "select changed from chimeway.pause_channel($1, $2, $3)"
END_ORPHANED_LEASES = "select holds_name from chimeway.end_orphaned_leases($1, $2, $3)"
RESCUE = _select(Lost._fields, "rescue($1)")
EXPIRE = f"""
select c.now, {", ".join(f"e.{name}" for name in Ended._fields)}
from (select chimeway.clock() as now) as c
left join chimeway.expire(least($1, c.now) - $2::interval, $3) as e on true
"""  # noqa: S608 - our own names
HEARTBEAT = "select lost_claim_id from chimeway.heartbeat($1, $2, $3, $4, $5, $6)"
REGISTER = "select chimeway.register_daemon($1, $2, $3)"
FORGET = "select chimeway.forget_daemons($1, $2)"
CONFIGURE = (
    "select chimeway.configure_channel("
    "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"
)
NEXT_DUE = "select due_in, is_expecting from chimeway.next_due($1, $2)"
UNSERVED_CHANNELS = "select chimeway.unserved_channels()"
CONFIGURE_RETENTION = "select chimeway.configure_retention($1, $2, $3)"
PRUNE = _select(Step._fields, "prune($1, $2, $3)")
ROLL_UP = "select chimeway.roll_up_tallies()"
QUEUE_FIGURES = """
select s.channel, s.due, s.scheduled, s.held, s.in_flight,
  date_part('epoch', s.oldest_due_age), s.succeeded, s.suppressed, s.cancelled,
  s.paused_at is not null, s.served_by, s.limited_by, pg_catalog.pg_notification_queue_usage()
from chimeway.stats() as s
"""


NEVER_NULL = (
    *("delivery_id", "claim_id", "attempt_number", "channel", "recipient", "payload_json"),
    *("metadata_json", "attempts_before", "lost_count", "waited_seconds"),
)
"""Of a delivery that was claimed."""
_never_null = itemgetter(*map(Delivery._fields.index, NEVER_NULL))
# As `_make` does; that the row has as many columns is in CLAIM.
_delivery = partial(tuple.__new__, Delivery)
VERDICTS = frozenset({"applied", "already_applied", "stale", "gone"})


@dataclass(slots=True)
class Identity:
    """Who this process is to the database."""

    daemon_id: int
    name: str
    version: str
    channels: tuple[str, ...]
    """What it serves; a reload changes it."""
    lease: timedelta


async def register_daemon(
    session: Session, name: str, version: str, channels: Sequence[str]
) -> int:
    rows = await session.fetch(REGISTER, name, version, list(channels))
    daemon_id: int = rows[0][0]
    return daemon_id


async def configure_channel(session: Session, name: str, channel: ChannelConfig) -> None:
    retry, rate = channel.retry, channel.rate
    await session.fetch(
        CONFIGURE,
        *(name, channel.adapter, retry.max_attempts, retry.base, retry.factor, retry.cap),
        *(retry.jitter, None if retry.schedule is None else list(retry.schedule)),
        *(retry.retry_after_cap, retry.max_age, channel.on_uncertain, channel.fallback),
        *((rate.calls, rate.per, channel.burst) if rate else (None, None, None)),
    )
    kept = channel.retention
    await session.fetch(CONFIGURE_RETENTION, name, kept.redact_after, kept.delete_after)


async def claim(session: Session, me: Identity, room: Room, *, arm: bool) -> list[Delivery]:
    """Claim due deliveries, as many as there is room for."""
    rows = await session.fetch(
        CLAIM,
        *(me.daemon_id, me.name, list(room.channels), list(room.channels.values()), room.limit),
        *(me.lease, arm, room.takes_suspect),
    )
    deliveries = list(map(_delivery, rows))
    for values in map(_never_null, deliveries):
        if None in values:
            missing = [
                name for name, value in zip(NEVER_NULL, values, strict=True) if value is None
            ]
            raise UnexpectedAnswer("claim", f"nothing in {', '.join(missing)}")
    if strange := {delivery.channel for delivery in deliveries} - room.channels.keys():
        raise UnexpectedAnswer("claim", f"channel {strange.pop()!r}, not asked for")
    return deliveries


async def record(
    session: Session,
    me: Identity,
    reports: Sequence[Report],
    now: float,
    *,
    passes_over_locked: bool = False,
) -> list[Verdict | None]:
    """Record how calls ended; `now` is the monotonic clock that the reports were timed with.

    The answer has a verdict for each report, in their order. `passes_over_locked`: none is waited
    for, and those that somebody holds locked have None.

    Raises:
        Locked: somebody holds one of them locked, for longer than we wait.
    """
    outcomes = [r.outcome for r in reports]
    rows = await session.fetch(
        RECORD_UNLOCKED if passes_over_locked else RECORD,
        me.name,
        [r.delivery.delivery_id for r in reports],
        [r.delivery.claim_id for r in reports],
        [kind_of(outcome) for outcome in outcomes],
        [now - r.started for r in reports],
        [now - r.finished for r in reports],
        *(_unless_empty([getattr(o, name, None) for o in outcomes]) for name in EVIDENCE),
    )
    verdicts: list[Verdict | None] = [None] * len(reports)
    known = range(1, len(reports) + 1)
    for nths, *said in rows:
        verdict = Verdict._make(said)
        if verdict.verdict not in VERDICTS:
            raise UnexpectedAnswer("record", f"the verdict {verdict.verdict!r}")
        for nth in nths:
            if nth not in known:
                raise UnexpectedAnswer("record", f"a verdict on report {nth} of {len(reports)}")
            verdicts[nth - 1] = verdict
    return verdicts


def _unless_empty(column: list[object]) -> list[object] | None:
    # A column of nulls is sent as one null: each element of an array costs at both ends.
    return None if column.count(None) == len(column) else column


async def release_unsent(
    session: Session,
    me: Identity,
    deliveries: Sequence[Delivery | Claimed],
    reason: str,
    waits: Sequence[timedelta | None] = (),
) -> list[UUID]:
    """Give back what was not sent, due now or after its own wait."""
    rows = await session.fetch(
        RELEASE_UNSENT,
        me.name,
        [d.delivery_id for d in deliveries],
        [d.claim_id for d in deliveries],
        reason,
        _unless_empty(list(waits)),
    )
    return [row[0] for row in rows]


async def find_unheard(
    session: Session, me: Identity, known: Sequence[int], older_than: timedelta
) -> list[Claimed]:
    """Return what is under claims of ours that we do not know of."""
    rows = await session.fetch(FIND_UNHEARD, me.daemon_id, list(known), older_than)
    return [Claimed._make(row) for row in rows]


async def open_breaker(
    session: Session,
    channel: str,
    reason: str,
    me: Identity,
    policy: BreakerPolicy,
    claim_ids: Sequence[int],
) -> list[OpenBreaker]:
    """Open a channel's breaker; return it, unless it was open before and is as it was."""
    asked = (channel, reason, me.name, policy.open_for, policy.longest_open, list(claim_ids))
    if not any(row[0] for row in await session.fetch(OPEN_BREAKER, *asked)):
        return []
    return await open_breakers(session, [channel])


async def open_breakers(session: Session, channels: Sequence[str]) -> list[OpenBreaker]:
    return [OpenBreaker._make(row) for row in await session.fetch(OPEN_BREAKERS, list(channels))]


async def serving_daemons(session: Session, channels: Sequence[str]) -> list[tuple[str, int]]:
    """Count the living daemons of each channel that has any."""
    return [(row[0], row[1]) for row in await session.fetch(SERVING_DAEMONS, list(channels))]


async def pause_channel(session: Session, channel: str, reason: str, actor: str) -> None:
    await session.fetch(PAUSE_CHANNEL, channel, reason, actor)


async def heartbeat(session: Session, me: Identity, claim_ids: Sequence[int]) -> list[int]:
    """Extend the leases of these claims; return those that are not ours any more."""
    rows = await session.fetch(
        HEARTBEAT, me.daemon_id, me.name, me.version, list(me.channels), list(claim_ids), me.lease
    )
    return [row[0] for row in rows]


async def end_orphaned_leases(session: Session, me: Identity, silent_for: timedelta) -> bool:
    """End the leases of daemons that are gone; tell whether our name is ours alone."""
    rows = await session.fetch(END_ORPHANED_LEASES, me.daemon_id, me.name, silent_for)
    holds_name: bool = rows[0][0]
    return holds_name


async def rescue(session: Session, limit: int) -> list[Lost]:
    return [Lost._make(row) for row in await session.fetch(RESCUE, limit)]


async def expire(
    session: Session, since: datetime, overlap: timedelta, limit: int
) -> tuple[datetime, list[Ended]]:
    """End what waits past its expiry, if it expired after `since` or `overlap` before it.

    Returns the database's clock, for the next `since`, and what ended.
    """
    rows = await session.fetch(EXPIRE, since, overlap, limit)
    return rows[0][0], [Ended(*row[1:]) for row in rows if row[1] is not None]


async def prune(session: Session, me: Identity, after: UUID | None, limit: int) -> Step:
    """Take one step of retention, if it is ours to take."""
    return Step._make((await session.fetch(PRUNE, me.daemon_id, after, limit))[0])


async def next_due(session: Session, room: Room) -> tuple[timedelta | None, bool]:
    """When the next job there is room for is due, and whether one may be committed unheard."""
    asked = (list(room.channels), room.takes_suspect)
    due_in, is_expecting = (await session.fetch(NEXT_DUE, *asked))[0]
    return due_in, is_expecting


async def unserved_channels(session: Session) -> list[str]:
    return [row[0] for row in await session.fetch(UNSERVED_CHANNELS)]


async def roll_up_tallies(session: Session) -> None:
    await session.fetch(ROLL_UP)


async def forget_daemons(session: Session, daemon_id: int | None, silent_for: timedelta) -> None:
    await session.fetch(FORGET, daemon_id, silent_for)


async def queue_figures(session: Session) -> list[QueueFigures]:
    """Look at every channel's queue: some milliseconds where much waits."""
    return [QueueFigures._make(row) for row in await session.fetch(QUEUE_FIGURES)]
