"""Writes what was found: a line a round while it runs, the table at the end, JSON beside it."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from faults.round import Case, Result

RESULTS = Path(__file__).with_name("results")
HEAD = (
    "| case | rounds | inserted | terminal | duplicates | accounted for | recovery, s | verdict |\n"
    "|---|---|---|---|---|---|---|---|"
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


def write(cases: Sequence[Case], results: Sequence[Result], seed: int, stem: str) -> None:
    """Write the JSON and the table under this name."""
    RESULTS.mkdir(exist_ok=True)
    document = {
        "seed": seed,
        "not_possible": {case.name: case.missing() for case in cases if case.missing()},
        "rounds": [asdict(result) for result in results],
    }
    (RESULTS / f"{stem}.json").write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    (RESULTS / f"{stem}.md").write_text(table(cases, results) + "\n", "utf-8")
