"""The moment when a delivery that is inserted now goes out."""

from dataclasses import dataclass, field

import anyio
import structlog

from chimewayd.log import Event

log = structlog.get_logger()


@dataclass(slots=True)
class Readiness:
    """Counts down to that moment: the listener is subscribed, and the queue was looked at."""

    is_listening: bool = False
    looks: int = 0
    ready: anyio.Event = field(default_factory=anyio.Event)

    def listening(self) -> None:
        self.is_listening = True
        self._settle()

    def looked(self) -> None:
        self.looks += 1
        if self.looks == 1:
            self._settle()

    def _settle(self) -> None:
        if self.is_listening and self.looks and not self.ready.is_set():
            log.info(Event.DAEMON_READY)
            self.ready.set()
