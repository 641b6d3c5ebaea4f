"""Lets go of what its channel does not keep any longer: the daemon's part of retention.

    a minute ─▶ a step of 500 ids ─▶ nine times as long a pause ─▶ the next step … ─▶ the last one

In all this takes a tenth of one session's time, and the claims find every page they need unlocked.
What is old enough is known by the id, which is ordered by time: there is no index on any column
that changes, and this needs none.
"""

from functools import partial
from typing import TYPE_CHECKING

import anyio
import structlog

from chimewayd import db
from chimewayd.log import Event
from chimewayd.outage import Outage
from chimewayd.session import Session

if TYPE_CHECKING:
    from uuid import UUID

STEP = 500
"""Deliveries looked at in one statement: so many may be locked while it runs."""

PAUSES_PER_STEP = 9
WALK_SECONDS = 60.0
"""From the end of one walk to the next."""

log = structlog.get_logger()


async def prune(session: Session, me: db.Identity, outage: Outage) -> None:
    """Walk through all that may be old enough, for ever."""
    while True:
        try:
            await _walk(session, me, outage)
        except Exception:  # retention that fails must not end the daemon
            log.exception(Event.PRUNE_FAILED)
        await anyio.sleep(WALK_SECONDS)


async def _walk(session: Session, me: db.Identity, outage: Outage) -> None:
    after: UUID | None = None
    redacted = deleted = 0
    while True:
        began = anyio.current_time()
        step = await outage.outlast(partial(db.prune, session, me, after, STEP))
        redacted += step.redacted
        deleted += step.deleted
        after = step.next_after
        if after is None:
            break
        await anyio.sleep(PAUSES_PER_STEP * (anyio.current_time() - began))
    if redacted or deleted:
        log.info(Event.DELIVERIES_PRUNED, redacted=redacted, deleted=deleted)
