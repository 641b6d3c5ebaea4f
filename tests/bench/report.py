"""Writes what was found: JSON for programs, Markdown for people."""

import json
from collections.abc import Mapping
from pathlib import Path

from bench.figures import Figures, Series
from bench.targets import TARGETS, Target

RESULTS = Path(__file__).with_name("results")
BIG, SMALL = 100, 10


def write(figures: Figures, facts: Mapping[str, str], stem: str) -> None:
    """Write the JSON and the Markdown."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{stem}.json").write_text(_json(figures, facts), "utf-8")
    (RESULTS / f"{stem}.md").write_text(markdown(figures, facts), "utf-8")


def _json(figures: Figures, facts: Mapping[str, str]) -> str:
    document = {
        "facts": facts,
        "targets": [
            {"what": target.what, "verdict": target.verdict(figures)} for target in TARGETS
        ],
        "series": [
            {"row": one.row, "name": one.name, "unit": one.unit, "samples": one.samples}
            for one in figures.series.values()
        ],
        "missing": [
            {"row": one.row, "name": one.name, "reason": one.reason} for one in figures.missing
        ],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def markdown(figures: Figures, facts: Mapping[str, str]) -> str:
    """Render the tables."""
    lines = ["# Measured", ""]
    lines += ["Medians [least - most] over the rounds. Ratios are taken round by round.", ""]
    lines += ["| what | at least | aim | measured | |", "|---|---|---|---|---|"]
    lines += [_target_line(target, figures) for target in TARGETS]
    lines += ["", "## All figures", "", "| row | figure | median | least - most | rounds |"]
    lines += ["|---|---|---|---|---|"]
    lines += [_series_line(series) for series in figures.series.values()]
    lines += ["", "## Not taken", ""]
    lines += [f"* {one.row}, {one.name}: {one.reason}" for one in figures.missing] or ["Nothing."]
    lines += ["", "## Taken with", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in facts.items()]
    return "\n".join(lines) + "\n"


def _target_line(target: Target, figures: Figures) -> str:
    series = figures.series.get((target.row, target.name))
    measured = "-" if series is None else _with_spread(series)
    at_least, aim = (f"{_number(value)} {target.unit}" for value in (target.at_least, target.aim))
    sign = "≥" if target.more_is_better else "≤"
    verdict = target.verdict(figures)
    return f"| {target.what} | {sign} {at_least} | {sign} {aim} | {measured} | {verdict} |"


def _series_line(series: Series) -> str:
    spread = f"{_number(series.low)} - {_number(series.high)}"
    middle = f"{_number(series.median)} {series.unit}"
    return f"| {series.row} | {series.name} | {middle} | {spread} | {len(series.samples)} |"


def _with_spread(series: Series) -> str:
    spread = f"[{_number(series.low)} - {_number(series.high)}]"
    return f"{_number(series.median)} {series.unit} {spread}"


def _number(value: float) -> str:
    if abs(value) >= BIG:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= SMALL else f"{value:.2f}"
