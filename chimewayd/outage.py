"""What the stages do while the database is away: say so once, and ask again, ever less often."""

import gc
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
import structlog

from chimewayd.errors import DatabaseUnavailable, Locked
from chimewayd.log import Event

T = TypeVar("T")

FIRST_WAIT_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 2.0

log = structlog.get_logger()


class Outage:
    """Whether the database is away: shared by all stages, so that one line says it for all."""

    def __init__(self) -> None:
        self.since: float | None = None
        self._behind_locks: set[Callable[[], Awaitable[object]]] = set()

    @property
    def is_behind_lock(self) -> bool:
        """Whether a question waits for somebody's lock: it gets on when they do."""
        return bool(self._behind_locks)

    def begin(self, error: DatabaseUnavailable) -> None:
        if self.since is None:
            self.since = anyio.current_time()
            self._say_begun(error)

    def end(self) -> None:
        if self.since is not None:
            away = anyio.current_time() - self.since
            self.since = None
            # The errors of an outage are cycles: left until the collector looks by itself, they
            # spread over the heap, and each outage made the process larger.
            gc.collect()
            self._say_ended(away)

    def _say_begun(self, error: DatabaseUnavailable) -> None:
        log.error(Event.DATABASE_LOST, error=str(error))

    def _say_ended(self, away_seconds: float) -> None:
        log.info(Event.DATABASE_RESTORED, away_seconds=round(away_seconds, 3))

    async def outlast(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask until there is an answer. Only for questions that may be asked twice."""
        try:
            return await self._ask_on(ask)
        finally:
            self._behind_locks.discard(ask)

    async def _ask_on(self, ask: Callable[[], Awaitable[T]]) -> T:
        wait = FIRST_WAIT_SECONDS
        while True:
            try:
                answer = await ask()
            except Locked:
                # That is an answer, too: nobody need look for a database that is lost.
                self._behind_locks.add(ask)
                self.end()
            except DatabaseUnavailable as error:
                self.begin(error)
            else:
                self.end()
                return answer
            # Jitter: the daemons of a whole fleet lose their database at the same moment.
            await anyio.sleep(random.uniform(wait / 2, wait))  # noqa: S311 - no secret
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)
