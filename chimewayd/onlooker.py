"""The figures of the queue, from the database: asked for when somebody wants to see them.

    /metrics, /status ─▶ young enough? ─┬─ yes ─▶ as they are
                                        └─ no ──▶ chimeway.stats(), in a session of its own

A daemon that nobody watches asks nothing. A slow answer delays no claim, record or heartbeat,
and a database that is away leaves the figures out, never the page.
"""

from collections.abc import Sequence

import anyio
import structlog

from chimewayd import db
from chimewayd.errors import DatabaseUnavailable
from chimewayd.log import Event
from chimewayd.models import QueueFigures
from chimewayd.session import Session

FRESH_SECONDS = 10.0
"""Less than any scraper's usual interval: who looks more often sees the same figures again."""

ANSWER_SECONDS = 2.0
"""How long a page waits for the database."""

log = structlog.get_logger()


class Onlooker:
    """Asks for the figures of the queue, at most once in FRESH_SECONDS, however many want them."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._figures: Sequence[QueueFigures] = ()
        self._asked_at: float | None = None
        self._turn = anyio.Lock()

    async def figures(self) -> Sequence[QueueFigures]:
        """Return one entry a channel; none where the database gives no answer."""
        async with self._turn:
            now = anyio.current_time()
            if self._asked_at is None or now - self._asked_at >= FRESH_SECONDS:
                # Old figures would look like a queue that stands still: they are not kept.
                self._asked_at = now
                self._figures = await self._ask()
            return self._figures

    async def _ask(self) -> Sequence[QueueFigures]:
        with anyio.move_on_after(ANSWER_SECONDS):
            try:
                return await db.queue_figures(self._session)
            except DatabaseUnavailable:
                return ()  # the daemon says so itself
            except Exception:  # the figures of this process are worth having without the queue's
                log.exception(Event.QUEUE_FIGURES_FAILED)
        return ()
