"""What several daemons say, as one voice for the service manager, which hears their parent alone.

READY=1      once all of them are ready, and again once all have reloaded
STATUS=…     how many serve, their figures added up, and the words of those in trouble
EXTEND_TIMEOUT_USEC=…
             how long those that stop may take: the manager goes by the longest
WATCHDOG=1   as long as the parent turns; a daemon that is silent is ended by the parent, so
             that one that stands still does not take the others down
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from chimewayd.figures import ASSIGNMENT, Figures
from chimewayd.systemd import Notifier


@dataclass(slots=True)
class Voice:
    """What one daemon last said; a daemon that was replaced begins anew."""

    is_ready: bool = False
    status: str = ""
    figures: Figures = field(default_factory=Figures)
    alive_at: float | None = None


class Chorus:
    """Hears the daemons and speaks for them."""

    def __init__(self, names: Iterable[str], notifier: Notifier) -> None:
        self._voices = {name: Voice() for name in names}
        self._awaited = set(self._voices)
        """Those that READY waits for."""
        self._notifier = notifier
        self._status = ""

    def hear(self, name: str, said: bytes, now: float) -> None:
        """Take the lines of one daemon."""
        voice = self._voices[name]
        for line in said.decode(errors="replace").splitlines():
            assignment, _, value = line.partition("=")
            match assignment:
                case "READY":
                    voice.is_ready = True
                    self._no_longer_await(name)
                case "WATCHDOG":
                    voice.alive_at = now
                case "EXTEND_TIMEOUT_USEC":
                    # Its own limit may be shorter than their grace.
                    self._notifier.tell(line)
                case "STATUS":
                    voice.status = value
                case _ if assignment == ASSIGNMENT:
                    voice.figures = Figures.read(value)

    def forget(self, name: str) -> None:
        """Its process has ended."""
        self._voices[name] = Voice()

    def reload(self) -> None:
        """All of them were told to; those that are not ready yet read the new settings anyway."""
        self._notifier.reloading()
        self._awaited |= {name for name, voice in self._voices.items() if voice.is_ready}
        if not self._awaited:
            self._notifier.ready()

    def silent(self, now: float, watchdog_seconds: float) -> list[str]:
        """Return those that have said for too long that they are alive, and do not any more."""
        return [
            name
            for name, voice in self._voices.items()
            if voice.alive_at is not None and now - voice.alive_at > watchdog_seconds
        ]

    def speak(self) -> None:
        """Say that the parent turns, and how it is if that has changed."""
        self._notifier.alive()
        if (status := self.status()) != self._status:
            self._notifier.tell(f"STATUS={status}")
            self._status = status

    def status(self) -> str:
        ready = sum(voice.is_ready for voice in self._voices.values())
        figures = sum((voice.figures for voice in self._voices.values()), Figures())
        trouble = [
            f"; {name}: {voice.status}"
            for name, voice in self._voices.items()
            if voice.figures.troubled
        ]
        return f"{ready} of {len(self._voices)} daemons serve: {figures}{''.join(trouble)}"

    def _no_longer_await(self, name: str) -> None:
        if name in self._awaited:
            self._awaited.remove(name)
            if not self._awaited:
                self._notifier.ready()
