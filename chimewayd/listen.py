"""Hears the doorbell: the first stage.

    connect ─▶ LISTEN ─▶ wake once (what came meanwhile) ─▶ a ring ─▶ wake … ─▶ lost ─▶ connect

A ring is only a hint: the claim stage also looks by itself, so a listener that is lost or deaf
costs a second and nothing else.
"""

from collections.abc import Callable
from functools import partial

import anyio
import structlog

from chimewayd.log import Event
from chimewayd.outage import Outage
from chimewayd.session import Session

CHECK_SECONDS = 5.0
"""How often the listening session is asked for a sign of life: a half-open socket gives none."""

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


async def listen(dsn: str, bell: Bell, outage: Outage, connected: Callable[[], None]) -> None:
    """Keep a listening session open for ever; `connected` is called each time it is subscribed."""
    while True:
        session = Session(dsn, "listener")
        lost = anyio.Event()
        try:
            await outage.outlast(partial(session.listen, bell.ring, lost.set))
            log.info(Event.LISTENER_CONNECTED)
            connected()
            # What was committed before the subscription rang for nobody.
            bell.ring()
            await _until_lost(session, lost)
            log.warning(Event.LISTENER_LOST)
        finally:
            session.drop()


async def _until_lost(session: Session, lost: anyio.Event) -> None:
    while not lost.is_set():
        with anyio.move_on_after(CHECK_SECONDS):
            await lost.wait()
        if not lost.is_set() and not await session.is_alive():
            return
