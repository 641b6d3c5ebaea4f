"""Takes due deliveries, as many as there is room for: the second stage.

    room ─▶ claim ─┬─ full ─────────────────────────────▶ claim again when half of it is done
                   ├─ some ─────────────────────────────▶ claim again
                   └─ none ─▶ arm the bell, claim once more ─▶ sleep ─▶ a ring, the next due time,
                                                                        or the poll

Arming before the last look closes the gap between "nothing there" and "asleep". A commit that
had looked at the bell just before it was armed, and becomes visible just after the last look, is
what one more look shortly afterwards is for.
"""

from collections.abc import Callable
from datetime import timedelta

import anyio
from anyio.streams.memory import MemoryObjectSendStream

from chimewayd import db
from chimewayd.leases import Leases
from chimewayd.listen import Bell
from chimewayd.models import Delivery
from chimewayd.outage import Outage
from chimewayd.session import Session
from chimewayd.slots import Slots

LATE_COMMIT_SECONDS = 0.025
"""How long a commit may take between its look at the bell and its being visible."""


async def claim(
    session: Session,
    me: db.Identity,
    slots: Slots,
    leases: Leases,
    bell: Bell,
    outage: Outage,
    claimed: MemoryObjectSendStream[list[Delivery]],
    poll_interval: timedelta,
    looked: Callable[[], None],
) -> None:
    """Claim for ever; `looked` is called after each look at the queue."""

    async def look(*, arm: bool) -> int:
        room, limit = slots.room()
        sent_at = anyio.current_time()
        # Nothing may come between a claim and its hand-over: what is claimed is handed on or
        # lost until its lease ends.
        with anyio.CancelScope(shield=True):
            deliveries = await db.claim(session, me, room, limit, arm=arm)
            leases.begin(deliveries, sent_at)
            slots.take(deliveries)
            if deliveries:
                claimed.send_nowait(deliveries)
        looked()
        return len(deliveries)

    # Asleep for one channel, it must still refill another that was too full to be looked at.
    slots.when_room(bell.ring)
    while True:
        await slots.wait_for_room()
        if await outage.outlast(lambda: look(arm=False)):
            # A checkpoint: the calls just handed on may begin.
            await anyio.sleep(0)
            continue
        if await outage.outlast(lambda: look(arm=True)):
            continue
        if await bell.wait(LATE_COMMIT_SECONDS):
            continue
        if await outage.outlast(lambda: look(arm=False)):
            continue
        due = await outage.outlast(lambda: db.next_due(session, me.channels))
        sleep = min([poll_interval, *([] if due is None else [due])])
        await bell.wait(sleep.total_seconds())
