"""The targets: what shows each, and whether what was measured meets it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

KILLS = ("kill-once", "kill-restart", "kill-each-second", "kill-slow-calls", "kill-at-start")
POINTS = (
    *("before_claim", "after_claim", "before_call", "in_call", "after_call", "before_record"),
    *("after_record", "before_release", "after_release", "on_listen", "on_reconnect", "on_drain"),
)
MATRIX = tuple(f"failpoint-{point}" for point in POINTS)
HERE = "tests/faults"

Rounds = Sequence[Mapping[str, Any]]


class Target(NamedTuple):
    """A figure that was aimed at."""

    number: int
    what: str
    where: str
    """The suite that shows it, if it is not this one; otherwise this folder."""
    cases: Sequence[str] = ()
    key: str | None = None
    """The figure that is shown: of a round, or one of its facts."""
    at_most: float | None = None
    at_least: float | None = None
    rounds: int = 1
    """With fewer nothing is said of it."""


TARGETS = (
    Target(1, "each fail point by each action and adapter: all kept", HERE, MATRIX, rounds=144),
    Target(2, "each failure of the catalogue has its line, its test or its reason", "tests/guards"),
    Target(
        3,
        "a million, a kill every few seconds: none lost or stranded",
        HERE,
        ("million",),
        "deliveries",
        None,
        1_000_000,
    ),
    Target(4, "every repeat at the receiver is accounted for", HERE, (*KILLS, "kill-takeover")),
    Target(
        5,
        "without a fault, four daemons, ten thousand (long: a million): no repeat",
        HERE,
        ("calm",),
        "duplicates",
        0,
    ),
    Target(
        6, "killed and started again: recovered", HERE, ("kill-restart",), "recovery_seconds", 5
    ),
    Target(
        7, "host lost, another daemon: recovered", HERE, ("kill-takeover",), "recovery_seconds", 65
    ),
    Target(8, "server back: first call", HERE, ("server-crash", "terminate"), "first_seconds", 2),
    Target(9, "failover, silent host: first call", HERE, ("failover-silent",), "first_seconds", 10),
    Target(10, "silent partition healed: first call", HERE, ("partition",), "first_seconds", 1),
    Target(
        11,
        "notifications lost: longest wait",
        HERE,
        ("notify-dropped",),
        "longest wait of a delivery, s",
        2,
    ),
    Target(
        12,
        "SIGTERM at random moments, 200 in long mode: grace of 2 s and one",
        HERE,
        ("term-often",),
        "longest stop, s",
        3,
    ),
    Target(13, "stopped beyond the lease, 100 rounds: all kept", HERE, ("stop-cont",), rounds=100),
    Target(14, "clocks jump, on either side", HERE, ("clock", "clock-server")),
    Target(
        15,
        "a delivery that kills its daemon ends, others are lost twice at most",
        "tests/daemon/test_restart.py",
    ),
    Target(
        16,
        "soak: growth in its second half, MiB in 10 minutes",
        HERE,
        ("soak",),
        "growth in the second half, MiB in 10 minutes",
        1,
    ),
    Target(17, "large backlog, held snapshot: the claim's rate", "tests/bench/results/latest.md"),
    Target(18, "the protocol's model, and its mutants", "tests/model"),
    Target(19, "random steps against the functions, and SQL mutants", "tests/model"),
    Target(20, "bad inputs end as they should", "tests/security/test_bad_answers.py"),
    Target(21, "no call to an internal address", "tests/adapters/test_address_guard.py"),
    Target(22, "planted secrets are found nowhere", "tests/security/test_canaries.py"),
    Target(23, "rights are those of the table", "tests/guards/test_rights.py"),
    Target(24, "the unit's exposure", "tests/deploy/test_units.py"),
    Target(25, "no known vulnerability: `make audit`", "tests/guards/test_supply_chain.py"),
    Target(
        26,
        "two releases, a migration under load: longest pause",
        HERE,
        ("versions",),
        "longest pause between calls, s",
        2,
    ),
    Target(27, "server killed, producers that do not wait: none lost", HERE, ("durability",)),
)


def table(known: Mapping[str, Any]) -> list[str]:
    """Render a line for each; a case that was not run leaves its target open."""
    lines = ["| target | what | aim | measured | verdict | shown by |", "|---|---|---|---|---|---|"]
    return [*lines, *(_line(target, known) for target in TARGETS)]


def largest(rounds: Rounds, key: str) -> float | None:
    """Return the largest figure of this name in the rounds."""
    found = [one[key] if key in one else one["facts"].get(key) for one in rounds]
    return max((float(value) for value in found if value is not None), default=None)


def _line(target: Target, known: Mapping[str, Any]) -> str:
    aim = _aim(target)
    if not target.cases:
        shown = f"[{target.where}](../../../{target.where})"
        return f"| R{target.number} | {target.what} | green | - | elsewhere | {shown} |"
    rounds = [one for name in target.cases for one in known.get(name, {}).get("rounds", ())]
    figure = largest(rounds, target.key) if target.key else None
    measured = f"{figure:,.2f}" if figure is not None else f"{len(rounds)} rounds"
    absent = [name for name in target.cases if name not in known]
    verdict = f"not run: {', '.join(absent)}" if absent else _verdict(target, rounds, figure)
    shown = f"`{target.cases[0]}`" + (" …" if len(target.cases) > 1 else "")
    return f"| R{target.number} | {target.what} | {aim} | {measured} | {verdict} | {shown} |"


def _aim(target: Target) -> str:
    if target.at_least is not None:
        return f"≥ {target.at_least:,.0f}"
    return "kept" if target.at_most is None else f"≤ {target.at_most:g}"


def _verdict(target: Target, rounds: Rounds, figure: float | None) -> str:
    broken = sum(bool(one["problems"]) for one in rounds)
    if broken:
        return f"BROKEN in {broken} of {len(rounds)}"
    if len(rounds) < target.rounds:
        return f"kept, with too few rounds: {target.rounds} are aimed at"
    if target.at_most is None and target.at_least is None:
        return "met"
    low = target.at_least if target.at_least is not None else float("-inf")
    high = target.at_most if target.at_most is not None else float("inf")
    return "met" if figure is not None and low <= figure <= high else "missed"
