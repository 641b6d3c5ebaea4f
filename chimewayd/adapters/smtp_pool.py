"""The connections to one relay: lent for one mail each, kept between mails, closed in time.

lend ─▶ the one last used, if it still lives ─▶ a call ─▶ kept ─▶ idle for too long ─▶ QUIT
   └──▶ a new one                                └▶ too old, too many mails, broken ─▶ closed
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

import anyio
from anyio.abc import TaskGroup

from chimewayd.adapters.smtp_session import Progress, Session
from chimewayd.adapters.smtp_settings import SmtpSettings


class Pool:
    """Lends sessions; whoever is lent one may break it, and then it is not kept."""

    _farewells: TaskGroup

    def __init__(
        self, settings: SmtpSettings, open_session: Callable[[Progress], Awaitable[Session]]
    ) -> None:
        self._open_session = open_session
        self._places = anyio.Semaphore(settings.connections, fast_acquire=True)
        self._mails = settings.messages_per_connection
        self._age_seconds = settings.connection_age.total_seconds()
        self._idle_seconds = settings.idle_timeout.total_seconds()
        self._open = set[Session]()
        self._free = deque[Session]()
        """The one that was used last is on the right, and goes first: the others may end."""
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        self._farewells = anyio.create_task_group()
        await self._farewells.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        while self._free:
            self._dismiss(self._free.popleft())
        try:
            # Whatever ends the daemon is not this group's: it would come out wrapped in it.
            await self._farewells.__aexit__(None, None, None)
        finally:
            for session in list(self._open):
                self._drop(session)

    @asynccontextmanager
    async def lend(self, progress: Progress, *, is_new: bool = False) -> AsyncIterator[Session]:
        """Lend a session that is ready for a mail; `is_new`: none that was used before.

        A session that is left by an exception is cut.

        Raises:
            Unsuitable, aiosmtplib.SMTPException, OSError: there is none to be had.
        """
        async with self._places:
            if is_new:
                self._give_up_free()
            session = await self._kept()
            if session is None:
                session = await self._open_session(progress)
                self._open.add(session)
            try:
                yield session
            except BaseException:
                self._drop(session)
                raise
            self._take_back(session)

    async def _kept(self) -> Session | None:
        while self._free:
            session, now = self._free.pop(), time.monotonic()
            if self._is_worn(session, now):
                self._dismiss(session)
                continue
            try:
                is_alive = await session.is_alive(now)
            except BaseException:
                self._drop(session)
                raise
            if is_alive:
                return session
            self._drop(session)
            self._give_up_free()
        return None

    def _take_back(self, session: Session) -> None:
        now = time.monotonic()
        if not session.is_connected:
            self._drop(session)
        elif self._is_worn(session, now):
            self._dismiss(session)
        else:
            session.free_since = now
            self._free.append(session)
            if self._timer is None:
                self._set_timer()

    def _is_worn(self, session: Session, now: float) -> bool:
        return session.mail_count >= self._mails or now - session.opened_at >= self._age_seconds

    def _give_up_free(self) -> None:
        """Let go of what is kept: where one was dead, the others are, or the relay is new."""
        while self._free:
            self._drop(self._free.popleft())

    def _dismiss(self, session: Session) -> None:
        """End a session politely, while nobody waits for it."""
        self._farewells.start_soon(session.quit)
        self._open.discard(session)

    def _drop(self, session: Session) -> None:
        session.cut()
        self._open.discard(session)

    def _set_timer(self) -> None:
        if self._free:
            seconds = self._free[0].free_since + self._idle_seconds - time.monotonic()
            self._timer = asyncio.get_running_loop().call_later(max(seconds, 0), self._end_idle)

    def _end_idle(self) -> None:
        self._timer = None
        now = time.monotonic()
        while self._free and now - self._free[0].free_since >= self._idle_seconds:
            self._dismiss(self._free.popleft())
        self._set_timer()
