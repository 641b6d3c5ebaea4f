"""Keeps the leases alive while the deliveries are in hand, and gives back what never came to hand.

From the same event loop that makes the calls: if the loop stands still, so do the leases, and
another daemon takes over.
"""

from datetime import timedelta
from functools import partial

import anyio
import structlog

from chimewayd import db
from chimewayd.counts import Counts
from chimewayd.leases import Leases
from chimewayd.log import Event
from chimewayd.outage import Outage
from chimewayd.session import Session

BEATS_PER_LEASE = 4
LONGEST_BEAT = timedelta(seconds=10)
"""`explain` and `stats` take a daemon that was silent for three of these for gone."""

UNHEARD_AFTER = timedelta(seconds=15)
"""A claim of ours that we do not know by now: its commit was not heard, and will not be. No
statement of ours runs, or is waited for, as long as this.
"""

UNHEARD = "claimed, but the daemon did not hear of it"

DOUBT_SECONDS = 60.0
"""How long after a claim that was not answered to look for it."""

log = structlog.get_logger()


async def keep_leases(
    session: Session,
    me: db.Identity,
    leases: Leases,
    outage: Outage,
    counts: Counts | None = None,
) -> None:
    """Beat for ever."""
    interval = min(me.lease / BEATS_PER_LEASE, LONGEST_BEAT).total_seconds()
    counts = counts or Counts()
    suspects: set[int] = set()
    while True:
        # An answer to what waited long for the database says nothing of now: ask again at once.
        if leases.is_heard(anyio.current_time()):
            await anyio.sleep(interval)
        sent_at, asked, not_ours = await outage.outlast(partial(_beat, session, me, leases))
        leases.extend((claim_id for claim_id in asked if claim_id not in not_ours), sent_at)
        # A claim whose last record was on its way meanwhile is gone there and not yet here.
        lost = leases.drop(suspects & not_ours)
        suspects = not_ours
        if lost:
            counts.leases_lost += len(lost)
            log.error(Event.LEASES_LOST, claims=lost)
        if not leases.has_doubt(sent_at):
            continue
        # What we know is read at each try: an outage may be longer than UNHEARD_AFTER.
        await outage.outlast(partial(give_back_unheard, session, me, leases, UNHEARD_AFTER))


async def _beat(
    session: Session, me: db.Identity, leases: Leases
) -> tuple[float, list[int], set[int]]:
    """Beat once; return when it was sent, the claims it named, and those that are not ours."""
    sent_at, asked = anyio.current_time(), leases.claim_ids
    return sent_at, asked, set(await db.heartbeat(session, me, asked))


async def give_back_unheard(
    session: Session, me: db.Identity, leases: Leases, older_than: timedelta
) -> None:
    """Give back what we claimed more than `older_than` ago without hearing so.

    By name: a request may be held up on its way, and arrive long after we stopped to wait for it.
    Then it finds claims that we made since, and must not take these for unheard.
    """
    found = await db.find_unheard(session, me, leases.claim_ids, older_than)
    known = set(leases.claim_ids)  # some may have been heard meanwhile
    if unheard := [one for one in found if one.claim_id not in known]:
        await db.release_unsent(session, me, unheard, UNHEARD)
        log.info(Event.DELIVERY_RELEASED, deliveries=len(unheard), reason=UNHEARD)
