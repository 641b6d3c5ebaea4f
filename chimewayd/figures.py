"""What a daemon does, in figures: for the service manager, and for a parent that adds them up."""

from dataclasses import astuple, dataclass
from typing import Self

ASSIGNMENT = "X_CHIMEWAYD_FIGURES"
"""Of a daemon to its parent; sd_notify(3) leaves names that begin with X_ to us."""


@dataclass(frozen=True, slots=True)
class Figures:
    """At one moment."""

    running: int = 0
    """Calls under way."""
    in_hand: int = 0
    done: int = 0
    """Deliveries recorded or given back since the start."""
    per_second: float = 0.0
    troubled: int = 0
    """Daemons that something is wrong with: see their status."""

    def __str__(self) -> str:
        return (
            f"{self.running} calls under way, {self.in_hand} deliveries in hand, "
            f"{self.done} done, {self.per_second:.1f} a second"
        )

    def __add__(self, other: Self) -> "Figures":
        pairs = zip(astuple(self), astuple(other), strict=True)
        return Figures(*(ours + theirs for ours, theirs in pairs))

    def written(self) -> str:
        return f"{ASSIGNMENT}={' '.join(map(str, astuple(self)))}"

    @classmethod
    def read(cls, text: str) -> Self:
        running, in_hand, done, per_second, troubled = text.split()
        return cls(int(running), int(in_hand), int(done), float(per_second), int(troubled))
