"""What a run found: series of samples, and what could not be taken and why."""

import re
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True, slots=True)
class Series:
    """One figure, once a round."""

    row: str
    name: str
    unit: str
    samples: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return median(self.samples)

    @property
    def low(self) -> float:
        return min(self.samples)

    @property
    def high(self) -> float:
        return max(self.samples)


@dataclass(frozen=True, slots=True)
class Missing:
    """A figure that could not be taken."""

    row: str
    name: str
    reason: str


@dataclass(slots=True)
class Figures:
    """Everything that one run found, in the order in which it came."""

    series: dict[tuple[str, str], Series] = field(default_factory=dict)
    missing: list[Missing] = field(default_factory=list)
    newest: dict[tuple[str, str], float] = field(default_factory=dict)
    """This round's samples."""

    def begin_round(self) -> None:
        """Forget which samples are new: ratios are taken within a round."""
        self.newest.clear()

    def add(self, row: str, name: str, unit: str, value: float) -> None:
        """Append a sample."""
        self.newest[row, name] = value
        self.series.setdefault((row, name), Series(row, name, unit)).samples.append(value)

    def add_ratio(self, row: str, name: str, of: tuple[str, str], to: tuple[str, str]) -> None:
        """Append the ratio of two samples of this round, if both were taken."""
        if of in self.newest and to in self.newest:
            self.add(row, name, "x", self.newest[of] / self.newest[to])

    def miss(self, row: str, name: str, reason: str) -> None:
        """Name a figure that could not be taken, once."""
        # The report is for everybody: a path tells of this machine and of nothing else.
        lost = Missing(row, name, re.sub(r"(?<![\w.])/[\w./-]+", "…", reason))
        if lost not in self.missing:
            self.missing.append(lost)
