"""Moves on what nobody owns any more: every daemon sweeps, whoever comes first does the work.

daemons that are gone ─▶ their leases end
leases that ran out ─▶ lost, then retried · waits that expired ─▶ cancelled · counts ─▶ rolled up
"""

from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count

import anyio
import structlog

from chimewayd import db
from chimewayd.counts import Counts
from chimewayd.leases import SILENT_SECONDS, Leases
from chimewayd.log import Event
from chimewayd.models import Lost
from chimewayd.outage import Outage
from chimewayd.session import Session

SWEEP_SECONDS = 5.0
SWEEPS_PER_EXPIRY = 3
"""A claim judges expiry, too: this is for what waits where nobody claims."""

SWEEPS_PER_TIDYING = 6
"""What only keeps the house in order is done every so many sweeps."""

LIMIT = 100
ORPHANED_AFTER = timedelta(seconds=SILENT_SECONDS)
"""Two heartbeats missed, and no session left: such a daemon's leases are not waited for."""

NAME_RETRY_SECONDS = 0.5
MISSES_BEFORE_WARNING = 6
"""The session of the run before us may be on its way out."""

SILENT_FOR = timedelta(minutes=10)
"""After this a daemon that says nothing is taken out of the list."""

EXPIRY_OVERLAP = timedelta(minutes=10)
"""How far behind the last look each looks for expiries: a commit may be later than its own."""

EVER = datetime(2000, 1, 1, tzinfo=UTC)
"""The first sweep of a process looks at all of them; no expiry may be earlier than this."""

log = structlog.get_logger()


async def sweep(
    session: Session,
    me: db.Identity,
    leases: Leases,
    outage: Outage,
    counts: Counts | None = None,
) -> None:
    """Sweep at once and then for ever."""
    counts = counts or Counts()
    since = EVER
    unserved: set[str] = set()
    name = Name(me.name)
    for number in count():
        tidies = number % SWEEPS_PER_TIDYING == 0
        try:
            # Behind a transaction pooler a session's lock is nobody's: leases just run out.
            if not session.is_pooled:
                ask = partial(db.end_orphaned_leases, session, me, ORPHANED_AFTER)
                name.note(holds=await outage.outlast(ask))
            await outage.outlast(partial(_rescue, session, leases, counts))
            if number % SWEEPS_PER_EXPIRY == 0 or since is EVER:
                since = await outage.outlast(partial(_expire, session, since, counts))
            if tidies:
                await outage.outlast(partial(_tidy, session, unserved))
        except Exception:  # a sweep that fails must not end the daemon
            log.exception(Event.SWEEP_FAILED)
        await anyio.sleep(SWEEP_SECONDS if name.is_settled else NAME_RETRY_SECONDS)


class Name:
    """Says once when another daemon has our name, and again only after it was ours."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._misses = 0

    @property
    def is_settled(self) -> bool:
        """Whether it is ours, or somebody else's for good: not a session that is about to end."""
        return not 0 < self._misses < MISSES_BEFORE_WARNING

    def note(self, *, holds: bool) -> None:
        self._misses = 0 if holds else self._misses + 1
        if self._misses == MISSES_BEFORE_WARNING:
            log.warning(
                Event.NAME_TAKEN,
                name=self._name,
                hint="another daemon runs with this name: after a crash their deliveries wait for "
                "the whole lease; give each its own with the setting name",
            )


async def _rescue(session: Session, leases: Leases, counts: Counts) -> None:
    if leases.has_ended(anyio.current_time()):
        return  # after an outage our own come first: a heartbeat extends them, then they record
    while lost := await db.rescue(session, LIMIT):
        counts.rescued += len(lost)
        _say_lost(lost)


async def _expire(session: Session, since: datetime, counts: Counts) -> datetime:
    """Return the database's clock at the last look: an outage may be longer than any overlap."""
    while True:
        now, ended = await db.expire(session, since, EXPIRY_OVERLAP, LIMIT)
        if not ended:
            return now
        counts.ended.update((delivery.channel, "expired") for delivery in ended)
        log.info(
            Event.DELIVERY_ENDED,
            reason="expired",
            deliveries=[str(delivery.delivery_id) for delivery in ended],
        )


async def _tidy(session: Session, unserved: set[str]) -> None:
    await db.roll_up_tallies(session)
    await db.forget_daemons(session, None, SILENT_FOR)
    _say_unserved(set(await db.unserved_channels(session)), unserved)


def _say_unserved(found: set[str], known: set[str]) -> None:
    """Say it once when a channel loses its last daemon, and again only after it had one."""
    for channel in sorted(found - known):
        log.warning(
            Event.CHANNEL_UNSERVED,
            channel=channel,
            hint="deliveries wait on it and no daemon serves it: is the name right?",
        )
    known.clear()
    known.update(found)


def _say_lost(lost: list[Lost]) -> None:
    for daemon_name in {delivery.daemon_name for delivery in lost}:
        deliveries = [
            str(delivery.delivery_id) for delivery in lost if delivery.daemon_name == daemon_name
        ]
        log.warning(
            Event.LEASES_RESCUED, daemon=daemon_name, count=len(deliveries), deliveries=deliveries
        )
