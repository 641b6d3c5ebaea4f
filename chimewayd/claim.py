"""Takes due deliveries, as many as there is room for: the second stage.

    room ─▶ claim ─┬─ full ─────────────────────────────▶ claim again when half of it is done
                   ├─ some ─────────────────────────────▶ claim again
                   └─ none ─▶ arm the bell, claim once more ─▶ sleep ─▶ a ring, the next due time,
                                                                        or another look

While looks come back full, a second session claims beside the first: the one's commit and the
other's work overlap. It never arms and never sleeps; where there is less, it does nothing.

Arming before the last look closes the gap between "nothing there" and "asleep": whoever inserts
later finds the bell armed and rings. A transaction that inserted earlier and has not ended will
not ring; arming takes note of it, and the sleeper looks again and again, at growing intervals,
until it has ended.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

import anyio
import structlog
from anyio.streams.memory import MemoryObjectSendStream

from chimewayd import db, failpoints
from chimewayd.counts import Counts, Wakeup
from chimewayd.errors import DatabaseUnavailable, Locked
from chimewayd.heartbeat import DOUBT_SECONDS, give_back_unheard
from chimewayd.leases import Leases
from chimewayd.listen import Bell
from chimewayd.log import Event
from chimewayd.models import Delivery
from chimewayd.outage import Outage
from chimewayd.session import Session
from chimewayd.slots import CLAIM_LIMIT, Slots

FIRST_DOZE_SECONDS = 0.005
LONGEST_DOZE_SECONDS = 0.1
"""Between looks while a transaction is under way that will not ring, or holds what is due."""

UNHEARD_PAUSE_SECONDS = 0.1
"""Between looks at whether a heartbeat was answered, after none was for too long."""

SHORTEST_DOZE_SECONDS = 0.002
"""What is due and not to be had is in another daemon's hands for this moment."""

log = structlog.get_logger()


@dataclass(slots=True)
class Intake:
    """What the stage works with: the database, what is in hand, and the stage that comes next."""

    me: db.Identity
    slots: Slots
    leases: Leases
    bell: Bell
    outage: Outage
    claimed: MemoryObjectSendStream[list[Delivery]]
    poll_interval: Callable[[], timedelta]
    looked: Callable[[], None]
    """Called after each look at the queue."""
    may_hold_unheard: bool = False
    """A claim was not answered: it may have been made all the same."""
    is_locked: bool = False
    """The last claim met a row that somebody holds locked."""
    leaves_out_rates: bool = False
    """The next claim is to do without channels that have one: that may be what is locked."""
    under_way: int = 0
    """Claims that were sent and not answered yet."""
    flood: anyio.Event = field(default_factory=anyio.Event)
    """Set while looks come back full."""
    turn: anyio.Lock = field(default_factory=anyio.Lock)
    """Who gives back what was claimed unheard."""
    counts: Counts = field(default_factory=Counts)

    @contextmanager
    def claiming(self, *, is_whole: bool) -> Iterator[None]:
        """One more claim is under way; one that is not answered may have been made.

        A daemon that is stopped while it reads what it claimed holds the rates of these channels:
        one that meets a lock is followed by one that does without (not `is_whole`).
        """
        self.under_way += 1
        try:
            yield
        except Locked as error:
            # An answer: nothing was claimed.
            if not self.is_locked:
                log.warning(Event.CLAIM_LOCKED, error=str(error))
            self.is_locked = True
            self.leaves_out_rates = is_whole
            raise
        except DatabaseUnavailable:
            self.may_hold_unheard = True
            self.leases.doubt(anyio.current_time() + DOUBT_SECONDS)
            raise
        else:
            self.leaves_out_rates = False
            if is_whole:
                self.is_locked = False
        finally:
            self.under_way -= 1

    def note(self, count: int) -> None:
        """A look brought so many."""
        if count < CLAIM_LIMIT:
            if self.flood.is_set():
                self.flood = anyio.Event()
        elif not self.flood.is_set():
            self.flood.set()
        self.looked()


async def claim(intake: Intake, session: Session) -> None:
    """Claim for ever."""
    # Asleep for one channel, it must still refill another that was too full to be looked at.
    intake.slots.when_room(intake.bell.ring)
    while True:
        await intake.slots.wait_for_room()
        if await _look(intake, session):
            # A checkpoint: the calls just handed on may begin.
            await anyio.sleep(0)
            continue
        if not await _look(intake, session, arm=True):
            await _sleep(intake, session)


async def claim_beside(intake: Intake, session: Session) -> None:
    """Claim whole batches for ever, while there is more than `claim` can bring."""
    while True:
        await intake.flood.wait()
        await intake.slots.wait_for_room(CLAIM_LIMIT)
        await _look(intake, session, is_beside=True)
        await anyio.sleep(0)


async def _sleep(intake: Intake, session: Session) -> None:
    """Return when something was claimed, or may be claimed."""
    poll = intake.poll_interval().total_seconds()
    doze, nap = FIRST_DOZE_SECONDS, SHORTEST_DOZE_SECONDS
    while True:
        # What is due on a channel without room is no reason to look; its room is, and rings.
        room = intake.slots.room()
        due_in, is_expecting = await intake.outage.outlast(partial(db.next_due, session, room))
        length, wakeup = (
            (doze, Wakeup.DOZE) if is_expecting and doze < poll else (poll, Wakeup.POLL)
        )
        if due_in is not None and due_in.total_seconds() < length:
            length, wakeup = min(max(due_in.total_seconds(), nap), length), Wakeup.DUE
        is_rung = await intake.bell.wait(length)
        intake.counts.wakeups[Wakeup.BELL if is_rung else wakeup] += 1
        # Nobody rang: one look is enough, and one that arms is a full one.
        if is_rung or await _look(intake, session, arm=True):
            return
        doze = min(2 * doze, LONGEST_DOZE_SECONDS)
        # What was due was not to be had, and may be an operator's who does not commit.
        nap = min(2 * nap, LONGEST_DOZE_SECONDS) if wakeup is Wakeup.DUE else SHORTEST_DOZE_SECONDS


async def _look(
    intake: Intake, session: Session, *, arm: bool = False, is_beside: bool = False
) -> int:
    """Claim what there is room for and hand it on; return how many there were."""
    ask = partial(_claim_once, intake, session, arm=arm, is_beside=is_beside)
    return await intake.outage.outlast(ask)


async def _claim_once(intake: Intake, session: Session, *, arm: bool, is_beside: bool) -> int:
    # What could not begin would be given back, and claimed again, until we are heard.
    while not intake.leases.is_heard(anyio.current_time()):  # noqa: ASYNC110 - time decides, too
        await anyio.sleep(UNHEARD_PAUSE_SECONDS)
    if failpoints.armed:
        await failpoints.reach(failpoints.Point.BEFORE_CLAIM)
    if intake.may_hold_unheard:
        await _give_back_unheard(intake, session)
    # From here to `under_way` there is no await: nobody gives back what we are about to claim.
    is_whole = not intake.leaves_out_rates
    room = intake.slots.room(with_rates=is_whole)
    sent_at = anyio.current_time()
    # Nothing may come between a claim and its hand-over: what is claimed is handed on or lost
    # until its lease ends.
    with (
        anyio.CancelScope(shield=True),
        intake.claiming(is_whole=is_whole),
        intake.slots.expecting(room, is_beside=is_beside),
    ):
        deliveries = await db.claim(session, intake.me, room, arm=arm)
        if failpoints.armed and deliveries:
            await failpoints.reach(failpoints.Point.AFTER_CLAIM)
        intake.counts.claimed(deliveries, anyio.current_time() - sent_at)
        intake.leases.begin(deliveries, sent_at)
        intake.slots.take(deliveries)
        if deliveries:
            intake.claimed.send_nowait(deliveries)
    intake.note(len(deliveries))
    return len(deliveries)


async def _give_back_unheard(intake: Intake, session: Session) -> None:
    """Give back what we claimed without hearing so; nothing is claimed meanwhile.

    A claim of the other session that is not answered yet would look like one of these.
    """
    async with intake.turn:
        if not intake.may_hold_unheard:
            return
        while intake.under_way:  # noqa: ASYNC110 - a claim has a deadline
            await anyio.sleep(UNHEARD_PAUSE_SECONDS)
        await give_back_unheard(session, intake.me, intake.leases, timedelta())
        intake.may_hold_unheard = False
