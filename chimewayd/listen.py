"""Hears the doorbell: the first stage.

    connect ─▶ LISTEN ─▶ wake once (what came meanwhile) ─▶ a ring ─▶ wake … ─▶ lost ─▶ connect
                 └─▶ probe: notify by another session ─▶ heard ─▶ a pause ─▶ probe …
                                  └─ unheard ─▶ does it answer? ─┬─ no ──▶ lost
                                                                 └─ yes ─▶ probe once more ─▶ deaf

A ring is only a hint: the claim stage also looks by itself, so a listener that is lost or deaf
costs a second and nothing else.

Deaf is what a transaction pooler makes of it: LISTEN succeeds, every question is answered, and no
notification ever comes. Only a notification that was sent and not heard shows that.
"""

import secrets
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import assert_never

import anyio
import structlog

from chimewayd import failpoints
from chimewayd.counts import Listening
from chimewayd.errors import DatabaseUnavailable
from chimewayd.log import Event
from chimewayd.outage import Outage
from chimewayd.session import JOB_CHANNEL, PROBE_CHANNEL, Session

PROBE_SECONDS = 5.0
"""How often the listener is probed: one statement each time, a fifth of one a second."""

HEARING_SECONDS = 2.0
"""How long a notification, or an answer, may take: a half-open socket gives neither."""

MISSES = 2
"""Probes that a session which answers may leave unheard."""

DEAF_SECONDS = 30.0
"""Before another session is tried, where the last one never heard anything."""

HINT = (
    "notifications do not arrive, so deliveries wait for the poll (poll_interval); a pooler in "
    "transaction mode swallows them: set listen_dsn to a direct connection to the database of dsn"
)

log = structlog.get_logger()


class Bell:
    """Wakes the claim stage; rings that come together are one."""

    def __init__(self) -> None:
        self._rung = anyio.Event()

    def ring(self) -> None:
        self._rung.set()

    async def wait(self, at_most: float) -> bool:
        """Wait for a ring; False: none came within `at_most` seconds."""
        with anyio.move_on_after(at_most):
            await self._rung.wait()
        was_rung = self._rung.is_set()
        if was_rung:
            self._rung = anyio.Event()
        return was_rung


class Hearing(StrEnum):
    """What a probe showed of the listening session."""

    HEARD = "heard"
    UNHEARD = "unheard"
    UNKNOWN = "unknown"
    """It could not be sent, and the session answers."""
    GONE = "gone"
    """The session does not even answer."""


class Ear:
    """What one listening session hears of our own probes."""

    def __init__(self) -> None:
        # Other daemons of this database probe, too.
        self.token = secrets.token_hex(8)
        self.is_lost = False
        self.has_heard = False
        self.has_ever_heard = False
        self.asked_at = self.heard_at = 0.0
        self._stirred = anyio.Event()

    def hear(self, payload: str) -> None:
        if payload == self.token:
            self.has_heard = self.has_ever_heard = True
            self.heard_at = anyio.current_time()
            self._stirred.set()

    def lose(self) -> None:
        self.is_lost = True
        self._stirred.set()

    def prepare(self) -> None:
        """Forget what was heard until now."""
        self.has_heard = False
        self.asked_at = anyio.current_time()
        self._stirred = anyio.Event()

    async def wait(self, at_most: float) -> None:
        """Wait until something is heard or the session ends."""
        with anyio.move_on_after(at_most):
            await self._stirred.wait()


class Deafness:
    """Whether notifications arrive: said when it changes, however often sessions do."""

    def __init__(self, listening: Listening) -> None:
        self._listening = listening

    @property
    def is_known(self) -> bool:
        return self._listening.is_deaf

    def begin(self) -> None:
        if not self.is_known:
            log.warning(Event.LISTENER_DEAF, hint=HINT)
        self._listening.is_deaf = True

    def end(self, roundtrip_seconds: float) -> None:
        """A probe was heard, so long after it was sent."""
        if self.is_known:
            log.info(Event.LISTENER_CONNECTED)
        self._listening.is_deaf = False
        self._listening.roundtrip_seconds = roundtrip_seconds


class Absence(Outage):
    """That there is no session to listen with: no sign of an outage, which others would notice.

    The others have theirs, and go on; they may even be all that a limit of connections allows.
    """

    def _say_begun(self, error: DatabaseUnavailable) -> None:
        log.warning(Event.LISTENER_LOST, error=str(error))

    def _say_ended(self, away_seconds: float) -> None:
        """Leave it to `listener_connected`."""


async def listen(
    dsn: str,
    bell: Bell,
    connected: Callable[[], None],
    prober: Session | None = None,
    listening: Listening | None = None,
) -> None:
    """Keep a listening session open for ever; `connected` is called each time it is subscribed.

    `prober` sends the probes and should go the way that producers go; else the listener does.
    """
    listening = listening or Listening()
    deafness, absence = Deafness(listening), Absence()

    def heard_of_work(_: str) -> None:
        listening.notifications += 1
        bell.ring()

    while True:
        session, ear = Session(dsn, "listener"), Ear()
        heard = {JOB_CHANNEL: heard_of_work, PROBE_CHANNEL: ear.hear}
        try:
            await absence.outlast(partial(session.listen, heard, ear.lose))
            if failpoints.armed:
                await failpoints.reach(failpoints.Point.ON_LISTEN)
            if not deafness.is_known:
                log.info(Event.LISTENER_CONNECTED)
            listening.is_connected = True
            listening.connections += 1
            connected()
            # What was committed before the subscription rang for nobody.
            bell.ring()
            is_deaf = await _is_deaf_in_the_end(session, ear, prober or session, deafness)
        finally:
            listening.is_connected = False
            session.drop()
        if not is_deaf:
            log.warning(Event.LISTENER_LOST)
        else:
            deafness.begin()
            if not ear.has_ever_heard:
                await anyio.sleep(DEAF_SECONDS)
        if failpoints.armed:
            await failpoints.reach(failpoints.Point.ON_RECONNECT)


async def _is_deaf_in_the_end(
    session: Session, ear: Ear, prober: Session, deafness: Deafness
) -> bool:
    """Probe the session until it is of no use any more; tell whether it was deaf or lost."""
    misses = 0
    while misses < MISSES:
        hearing = await _probe(session, ear, prober)
        match hearing:
            case Hearing.HEARD:
                misses = 0
                deafness.end(ear.heard_at - ear.asked_at)
            case Hearing.UNHEARD:
                misses += 1
                continue
            case Hearing.UNKNOWN:
                pass
            case Hearing.GONE:
                return False
            case _:
                assert_never(hearing)
        ear.prepare()
        await ear.wait(PROBE_SECONDS)
    return True


async def _probe(session: Session, ear: Ear, prober: Session) -> Hearing:
    ear.prepare()
    is_sent = True
    try:
        await prober.notify(PROBE_CHANNEL, ear.token)
    except DatabaseUnavailable:
        is_sent = False
    else:
        await ear.wait(HEARING_SECONDS)
    # A notification that was sent before the question is on the wire before the answer: it cannot
    # be late only because this process was.
    is_alive = ear.has_heard or await session.is_alive(HEARING_SECONDS)
    if ear.is_lost or not is_alive:
        return Hearing.GONE
    if ear.has_heard:
        return Hearing.HEARD
    return Hearing.UNHEARD if is_sent else Hearing.UNKNOWN
