"""Writes what was found: a line a round while it runs, the table at the end, JSON beside it."""

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from chimewayd import __version__
from faults import targets
from faults.cases import CASES
from faults.cluster import SETTINGS
from faults.round import Case, Result

RESULTS = Path(__file__).with_name("results")
HEAD = (
    "| case | rounds | inserted | terminal | duplicates | accounted for | recovery, s | verdict |\n"
    "|---|---|---|---|---|---|---|---|"
)
COUNTS = ("inserted", "terminal", "duplicates", "accounted")
KEPT_HEAD = (
    "| case | rounds | inserted | terminal | duplicates | accounted for | first call, s "
    "| recovery, s | verdict |\n|---|---|---|---|---|---|---|---|---|"
)
SHOWN = 6


def tell(result: Result) -> None:
    """Say on standard error how a round ended."""
    verdict = "; ".join([*result.problems, *result.missed]) or "kept"
    took = "-" if result.recovery_seconds is None else f"{result.recovery_seconds:.1f} s"
    sys.stderr.write(f"{result.seed}: recovery {took}: {verdict[:600]}\n")
    sys.stderr.flush()


def table(cases: Sequence[Case], results: Sequence[Result]) -> str:
    """Render the table and, below it, every broken promise."""
    lines = [HEAD]
    lines += [_line(case, [one for one in results if one.case == case.name]) for case in cases]
    lines.append("")
    for result in results:
        lines += [f"BROKEN, {result.seed}: {problem}" for problem in result.problems[:SHOWN]]
        lines += [f"missed, {result.seed}: {missed}" for missed in result.missed]
    return "\n".join(lines)


def _line(case: Case, results: Sequence[Result]) -> str:
    if missing := case.missing():
        return f"| {case.name} | 0 | - | - | - | - | - | not possible here: {missing} |"
    audits = [result.audit for result in results if result.audit is not None]
    took = [result.recovery_seconds for result in results if result.recovery_seconds is not None]
    figures = [
        case.name,
        f"{len(results)}",
        f"{sum(one.inserted for one in audits)}",
        f"{sum(one.terminal for one in audits)}",
        f"{sum(one.duplicates for one in audits)}",
        f"{sum(one.accounted for one in audits)}",
        f"{max(took):.1f}" if took else "-",
        _verdict(results),
    ]
    return f"| {' | '.join(figures)} |"


def _verdict(results: Sequence[Result]) -> str:
    broken = sum(bool(result.problems) for result in results)
    missed = sum(bool(result.missed) for result in results)
    if broken:
        return f"BROKEN in {broken} of {len(results)}"
    return f"kept; too slow in {missed} of {len(results)}" if missed else "kept"


def write(results: Sequence[Result], stem: str) -> None:
    """Put the cases that were run in the place of what this file says of them; render it."""
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{stem}.json"
    known = json.loads(file.read_text("utf-8")) if file.exists() and stem == "latest" else {}
    for name in dict.fromkeys(result.case for result in results):
        rounds = [summary(asdict(one)) for one in results if one.case == name]
        known[name] = {"with": _versions(), "rounds": rounds}
    known = {name: known[name] for name in CASES if name in known}
    file.write_text(json.dumps(known, indent=1) + "\n", "utf-8")
    (RESULTS / f"{stem}.md").write_text(render(known), "utf-8")


def summary(result: dict[str, Any]) -> dict[str, Any]:
    """Keep what the tables need."""
    names = ("seed", "recovery_seconds", "first_seconds", "facts", "problems", "missed")
    audit = result["audit"] or {}
    return {name: result[name] for name in names} | {name: audit.get(name, 0) for name in COUNTS}


def _versions() -> str:
    here = [f"chimewayd {__version__}", f"asyncpg {version('asyncpg')}"]
    # Times are worth no more than the machine was free: its load is told beside them.
    load = max(os.getloadavg())
    machine = f"Linux {platform.release()}, {os.cpu_count()} cores, load {load:.0f}"
    return ", ".join([*here, f"Python {platform.python_version()}", machine])


def render(known: Mapping[str, Any]) -> str:
    """Render the kept results: the targets, the cases, what was broken or missed."""
    settings = ", ".join(f"{name}={value}" for name, value in SETTINGS.items())
    lines = ["# What faults did", "", "Written by `python -m faults`.", ""]
    lines += [f"* {told}: {', '.join(names)}" for told, names in _by_versions(known).items()]
    lines += [f"* Postgres: {settings}; calls end after 3 s, 50 at a time", ""]
    lines += targets.table(known)
    lines += ["", "## Cases", "", KEPT_HEAD]
    lines += [_kept(name, known[name]["rounds"]) for name in known]
    absent = [name for name in CASES if name not in known]
    lines += ["", f"Not run: {', '.join(absent) or 'none'}.", ""]
    for case in known.values():
        for one in case["rounds"]:
            lines += [f"* BROKEN, {one['seed']}: {said}" for said in one["problems"][:SHOWN]]
            lines += [f"* missed, {one['seed']}: {said}" for said in one["missed"]]
    facts = [
        f"* {name}: {fact} {value:,.2f}"
        for name, case in known.items()
        if not name.startswith("failpoint")
        for fact, value in case["rounds"][0]["facts"].items()
    ]
    return "\n".join([*lines, "", "## Measured beside it", "", *facts]).rstrip() + "\n"


def _by_versions(known: Mapping[str, Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, case in known.items():
        found.setdefault(case["with"], []).append(name)
    return found


def _kept(name: str, rounds: Sequence[Mapping[str, Any]]) -> str:
    sums = [f"{sum(one[key] for one in rounds):,}" for key in COUNTS]
    seconds = [targets.largest(rounds, key) for key in ("first_seconds", "recovery_seconds")]
    shown = ["-" if value is None else f"{value:.1f}" for value in seconds]
    broken = sum(bool(one["problems"]) for one in rounds)
    missed = sum(bool(one["missed"]) for one in rounds)
    good = f"kept; too slow in {missed}" if missed else "kept"
    verdict = f"BROKEN in {broken}" if broken else good
    return f"| {' | '.join([name, str(len(rounds)), *sums, *shown, verdict])} |"
