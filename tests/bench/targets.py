"""What the design asks for: the rows of the table that are judged."""

from dataclasses import dataclass
from enum import StrEnum

from bench.figures import Figures


class Verdict(StrEnum):
    """How a figure compares with its target."""

    AIM = "aim met"
    MET = "met"
    MISSED = "missed"
    NOT_TAKEN = "not taken"


@dataclass(frozen=True, slots=True)
class Target:
    """One line of the design's table."""

    what: str
    row: str
    name: str
    at_least: float
    aim: float
    unit: str
    more_is_better: bool = True

    def verdict(self, figures: Figures) -> Verdict:
        """Judge the median."""
        series = figures.series.get((self.row, self.name))
        if series is None:
            return Verdict.NOT_TAKEN
        sign = 1 if self.more_is_better else -1
        if sign * series.median >= sign * self.aim:
            return Verdict.AIM
        return Verdict.MET if sign * series.median >= sign * self.at_least else Verdict.MISSED


def _at_most(what: str, row: str, name: str, at_least: float, aim: float, unit: str) -> Target:
    return Target(what, row, name, at_least, aim, unit, more_is_better=False)


FLAT_SHARE = 0.95
"""A rate that kept this share of itself is called flat."""

FLAT_PERCENT = 2.0
"""Memory that grew by no more than this over half the soak is called flat."""

DRAIN = "drain of no-ops, full history, one process"
WHILE = "claim rate"

TARGETS = (
    Target(f"{DRAIN}: against pgqueuer", "drain", "chimewayd / pgqueuer", 2, 4, "x"),
    Target(
        f"{DRAIN}: against graphile-worker with local queue",
        "drain",
        "chimewayd / graphile-worker",
        1,
        1.5,
        "x",
    ),
    Target(
        "drain against the pgbench rate of the same statements",
        "ceiling",
        "chimewayd / pgbench",
        0.5,
        0.8,
        "x",
    ),
    Target(
        "10 ms adapter, concurrency 100: of the ideal rate",
        "paced",
        "chimewayd, 100 at once, of the ideal",
        0.8,
        0.95,
        "x",
    ),
    Target(
        "10 ms adapter, concurrency 1000: of the no-op rate, where the core is full",
        "paced",
        "chimewayd, 1000 at once, of the no-op rate",
        0.8,
        0.95,
        "x",
    ),
    _at_most(
        "commit → adapter entered, idle: p50", "latency", "adapter entered, p50", 3, 1.5, "ms"
    ),
    _at_most("commit → adapter entered, idle: p99", "latency", "adapter entered, p99", 15, 5, "ms"),
    Target(
        "webhook adapter, unsigned as the loop is, against a bare aiohttp loop",
        "adapters",
        "webhook / bare aiohttp",
        0.7,
        0.9,
        "x",
    ),
    Target(
        "smtp adapter against a bare aiosmtplib loop that writes each mail",
        "adapters",
        "smtp / bare aiosmtplib",
        0.7,
        0.9,
        "x",
    ),
    Target(
        "insert rate of 32 clients, trigger and armed bell, against no trigger",
        "inserts",
        "32 clients, trigger, a listener that arms the bell at once, against none",
        0.7,
        0.9,
        "x",
    ),
    _at_most(
        "WAL a delivery, full-page images set apart",
        "wal",
        "one insert of many rows",
        1600,
        1100,
        "bytes",
    ),
    Target(
        f"{WHILE} with a snapshot held, last against first",
        "snapshot",
        "last / first",
        0.7,
        FLAT_SHARE,
        "x",
    ),
    Target(
        f"{WHILE} with a large backlog against ten thousand",
        "backlog",
        "many / few",
        0.8,
        FLAT_SHARE,
        "x",
    ),
    _at_most(
        "memory over the second half of the soak: growth",
        "soak",
        "growth over the second half",
        FLAT_PERCENT,
        FLAT_PERCENT,
        "%",
    ),
    _at_most("idle daemon: statements", "idle", "statements", 3, 3, "queries/s"),
    _at_most("idle daemon: CPU", "idle", "cpu", 1, 1, "% of a core"),
)
