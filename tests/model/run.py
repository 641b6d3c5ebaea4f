"""Checks the models with Spin: they hold, and each mistake that is put into them is found.

    python tests/model/run.py            everything, two minutes
    python tests/model/run.py gate cycle only the cases with one of these words

One line a case. The exit status is 1 if a model breaks, or a mistake is not found as it should.
"""

import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import assert_never

HERE = Path(__file__).parent
MEMORY_MEGABYTES = 1800
DEPTH = 50_000
TIMEOUT_SECONDS = 110

HOLDS = "holds"
CYCLE = "acceptance cycle"


class Search(StrEnum):
    """What Spin looks for."""

    SAFETY = "safety"
    """An assertion that fails, in any state; at the end too, so also a run that got stuck."""
    END = "end"
    """A run without an end."""
    LIVE = "live"
    """A run in which the model's formula does not come true, each process being served."""


@dataclass(frozen=True, slots=True)
class Case:
    """One search of one model, and what it must find."""

    model: str
    name: str
    finds: str = HOLDS
    defines: str = ""
    search: Search = Search.SAFETY
    is_long: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """What a search found; `states` that it visited."""

    what: str
    states: str
    seconds: float


SMALL = "-DBEATS=0 -DREPLAYS=0"
REPLAYED = "-DDAEMONS=1 -DBEATS=0 -DCRASHES=0 -DRELEASES=0"
LOST = "NO_LOST_WAKEUP"
DECIDES = "B2_ONLY_ITS_PROBE_DECIDES"


def _mutant(model: str, number: int, name: str, finds: str, defines: str = "") -> Case:
    return Case(model, name, finds, f"{defines} -DMUTANT={number}".strip())


CASES = [
    Case("lease", "one delivery, a heartbeat", defines="-DREPLAYS=0 -DUNHEARD=0"),
    Case("lease", "two deliveries a claim, one daemon",
         defines=f"{REPLAYED} -DDELIVERIES=2 -DREPLAYS=0 -DMAX_ATTEMPTS=1"),
    Case("lease", "one delivery, two daemons", defines=SMALL, is_long=True),
    Case("lease", "two deliveries a claim, two daemons", is_long=True,
         defines=f"{SMALL} -DDELIVERIES=2 -DMAX_ATTEMPTS=1 -DRELEASES=0 -DUNHEARD=0"),
    Case("lease", "a replay, with crash and release", is_long=True,
         defines="-DDAEMONS=1 -DBEATS=0 -DUNHEARD=0"),
    Case("lease", "a replay, with hold and deletion", is_long=True,
         defines=f"{REPLAYED} -DHOLDS=1 -DDELETIONS=1 -DUNHEARD=0"),
    Case("lease", "every run has an end", defines=f"{SMALL} -DUNHEARD=0", search=Search.END,
         is_long=True),
    _mutant("lease", 1, "record ignores the token", "I2_CLAIM_COUNTS", SMALL),
    _mutant("lease", 2, "rescue acts on what it saw before", "S4_NUMBERS_ONCE", SMALL),
    _mutant("lease", 3, "rescue passes over the last attempt", "L1_ALL_END", SMALL),
    _mutant("lease", 4, "nobody looks unless it rings", "L1_ALL_END", SMALL),
    _mutant("lease", 5, "attempts are counted at record", "S9_CLAIMS_BOUNDED", SMALL),
    _mutant("lease", 6, "cancel ends a call in flight", "S5_NUMBERS_WHOLE", SMALL),
    _mutant("lease", 7, "leases do not run out", "L1_ALL_END", SMALL),
    _mutant("lease", 8, "cancel leaves the job, claim ignores the state", "S1_TERMINAL_STAYS",
            SMALL),
    _mutant("lease", 9, "rescue writes no attempt", "S5_NUMBERS_WHOLE", SMALL),
    _mutant("lease", 10, "the attempt number is the token", "S11_LATE_ONLY_IF_LOST", SMALL),
    _mutant("lease", 11, "release_unsent ignores the token", "I2_CLAIM_COUNTS", SMALL),
    _mutant("lease", 12, "rescue does not settle", "I1_JOB_OR_CLAIM", SMALL),
    _mutant("lease", 13, "a retry gets no job", "I1_JOB_OR_CLAIM", SMALL),
    _mutant("lease", 14, "settle leaves the claim as it was", "I2_CLAIM_COUNTS", SMALL),
    _mutant("lease", 15, "no call gate", "S10_CALL_WITHIN_LEASE", SMALL),
    _mutant("lease", 16, "settle forgets a cancel during the call", "S12_CANCEL_HOLDS", SMALL),
    _mutant("lease", 17, "replay gives no new budget", "S2_MAX_ATTEMPTS", REPLAYED),
    _mutant("lease", 18, "replay opens what is not terminal", "I1_JOB_OR_CLAIM", REPLAYED),
    _mutant("lease", 19, "a repeated record is not recognised", "S11_LATE_ONLY_IF_LOST", SMALL),
    _mutant("lease", 20, "release_unsent keeps the attempt", "S2_MAX_ATTEMPTS", SMALL),
    _mutant("lease", 21, "a lease ends while its gate is open", "S10_CALL_WITHIN_LEASE", SMALL),
    _mutant("lease", 22, "find_unheard finds what is in hand", "S10_CALL_WITHIN_LEASE", SMALL),
    _mutant("lease", 23, "an unheard record makes another call", "S6_ONE_CALL_A_CLAIM", SMALL),
    Case("bell", "two producers, one daemon", defines="-DDAEMONS=1"),
    Case("bell", "two producers, one daemon, for ever", defines="-DDAEMONS=1", search=Search.LIVE),
    Case("bell", "two producers, two daemons", is_long=True),
    Case("bell", "two producers, two daemons, for ever", search=Search.LIVE, is_long=True),
    Case("bell", "two sessions are lost, one daemon", defines="-DDAEMONS=1 -DDROPS=2",
         is_long=True),
    Case("bell", "two sessions are lost, two daemons", defines="-DPRODUCERS=1 -DDROPS=2",
         is_long=True),
    Case("bell", "resuming notifies in any case, one daemon", defines="-DDAEMONS=1 -DRESUMES=1",
         is_long=True),
    Case("bell", "resuming notifies in any case, two daemons",
         defines="-DPRODUCERS=1 -DRESUMES=1"),
    _mutant("bell", 1, "the look comes before the arming", LOST),
    _mutant("bell", 2, "nobody asks for locks", LOST),
    _mutant("bell", 3, "the insert rings, not the commit", LOST),
    _mutant("bell", 4, "locks are asked for after the look", LOST),
    _mutant("bell", 5, "the lock goes before the commit shows", LOST),
    _mutant("bell", 6, "an arming look begins at a floor and is trusted", LOST, "-DDAEMONS=1"),
    _mutant("bell", 7, "a new session expects nobody", LOST, "-DDAEMONS=1 -DDROPS=1"),
    _mutant("bell", 8, "a listener that comes back does not look", LOST,
            "-DDAEMONS=1 -DDROPS=1"),
    _mutant("bell", 9, "what rang before the sleep is forgotten", LOST),
    Case("bell", "gap: a ring is rolled back", LOST, "-DGAP=1"),
    Case("bell", "gap: two-phase commit does not ring", LOST, "-DGAP=2"),
    Case("bell", "gap: a ring is rolled back, with the poll",
         defines="-DDAEMONS=1 -DGAP=1 -DPOLL=1", search=Search.LIVE, is_long=True),
    _mutant("bell", 10, "resuming asks the bell when it is called", LOST,
            "-DPRODUCERS=1 -DRESUMES=1"),
    Case("bell", "gap: two-phase commit, with the poll", defines="-DGAP=2 -DPOLL=1",
         search=Search.LIVE, is_long=True),
    Case("rate", "three daemons share a rate"),
    _mutant("rate", 1, "the time is read before the lock is had", "T1_NEVER_LENT_TWICE"),
    _mutant("rate", 2, "nobody waits for the lock", "T1_NEVER_LENT_TWICE"),
    Case("breaker", "two daemons, a daemon dies", defines="-DLOSSES=0 -DFAILURES=1"),
    Case("breaker", "two daemons, a daemon dies, a lease is lost", is_long=True),
    Case("breaker", "it is tried until all is delivered", defines="-DLOSSES=0 -DFAILURES=1",
         search=Search.LIVE, is_long=True),
    _mutant("breaker", 1, "who claimed before it opened is its probe", DECIDES),
    _mutant("breaker", 2, "two look without the lock", "B1_ONE_PROBE", "-DFAILURES=1"),
    _mutant("breaker", 3, "a dead daemon's probe is waited for", "L1_ALL_END"),
    _mutant("breaker", 4, "a probe is known by its delivery alone", DECIDES),
    _mutant("breaker", 5, "judging does not look again under the lock", DECIDES),
    _mutant("breaker", 6, "a probe goes before the wait is over", "B3_CLOSED_UNTIL_DUE"),
]  # fmt: skip
"""Cases that are not long take a second or two each."""


def check(case: Case, folder: Path) -> Finding:
    """Search one case; what Spin, the compiler and the search write goes to the folder."""
    began = time.monotonic()
    live = ["-DLIVE"] if case.search is Search.LIVE else []
    model = HERE / f"{case.model}.pml"
    _run(folder, "spin", *live, *case.defines.split(), "-a", str(model))
    match case.search:
        case Search.SAFETY:
            defines, options = ["-DSAFETY", "-DNOCLAIM"], []
        case Search.END:
            defines, options = ["-DNP", "-DNOCLAIM"], ["-l"]
        case Search.LIVE:
            defines, options = ["-DNFAIR=3"], ["-a", "-f"]
        case _:
            assert_never(case.search)
    speed = "-O1" if case.is_long else "-O0"
    bounds = f"-DMEMLIM={MEMORY_MEGABYTES}"
    _run(folder, "gcc", speed, "-w", bounds, *defines, "-o", "pan", "pan.c")
    said = _run(folder, "./pan", f"-m{DEPTH}", *options)
    states = re.search(r"(\d[\d.e+]*) states, stored", said)
    counted = f"{float(states[1]):,.0f}" if states else "?"
    return Finding(_what_it_found(said), counted, time.monotonic() - began)


def _what_it_found(said: str) -> str:
    if failed := re.search(r"assertion violated \(*(\w+)\|\|", said):
        return failed[1]
    if "acceptance cycle" in said or "non-progress cycle (" in said:
        return CYCLE
    if "errors: 0" not in said or re.search(r"depth too small|MEMLIM|out of memory", said):
        return "not completed"
    return HOLDS


def _run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}")
    return done.stdout


def main(words: list[str]) -> int:
    """Check the cases whose name has one of the words; without words, all of them."""
    surprises = 0
    for case in CASES:
        if words and not any(word in case.name.split() for word in words):
            continue
        with tempfile.TemporaryDirectory() as folder:
            finding = check(case, Path(folder))
        is_right = finding.what == case.finds
        surprises += not is_right
        wanted = "" if is_right else f"   expected: {case.finds}"
        sys.stdout.write(
            f"{'ok' if is_right else 'WRONG':5}  {case.model:7}  {case.name:47}  "
            f"{finding.what:25}  {finding.states:>9} states  {finding.seconds:5.1f} s{wanted}\n"
        )
        sys.stdout.flush()
    return 1 if surprises else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
