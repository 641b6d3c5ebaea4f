"""Print what the suite of promises has shown: a row an adapter, a column a promise.

A plug-in of pytest: `pytest -p chimewayd.testing.table`. A cell counts the tests that passed.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping

import pytest

from chimewayd.testing.provider import PROMISE, Promise

SHOWN = "chimewayd promise"

Results = Mapping[str, Mapping[str, Counter[str]]]
"""Of each adapter and promise, how many tests had which outcome."""

_results: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
_excuses: dict[tuple[str, str], str] = {}


def pytest_itemcollected(item: pytest.Item) -> None:
    """Note of each test what it shows, and of which adapter."""
    if not isinstance(item, pytest.Function) or not hasattr(item.cls, "kind"):
        return
    promise, kind = (
        getattr(item.function, PROMISE, None),
        getattr(item.cls, "label", "") or item.cls.kind,
    )
    if promise is None:
        return
    item.user_properties.append((SHOWN, f"{kind}\n{promise}"))
    if excuse := getattr(item.cls, "cannot", {}).get(promise):
        _excuses[kind, promise] = excuse


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count the test; one that failed in its set-up or clean-up has failed."""
    for name, value in report.user_properties:
        if name == SHOWN and (report.when == "call" or not report.passed):
            kind, _, promise = str(value).partition("\n")
            _results[kind][promise][report.outcome] += 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table."""
    if _results:
        terminalreporter.section("promises")
        for line in table(_results):
            terminalreporter.write_line(line)
        for (kind, promise), excuse in sorted(_excuses.items()):
            terminalreporter.write_line(f"{kind} cannot promise '{promise}': {excuse}")


def table(results: Results) -> list[str]:
    """Lay the results out, one line an adapter."""
    rows = [["adapter", *Promise]]
    rows += [
        [kind, *(_cell(results[kind].get(promise, Counter())) for promise in Promise)]
        for kind in sorted(results)
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _cell(outcomes: Counter[str]) -> str:
    if outcomes["failed"]:
        return f"FAILED {outcomes['failed']}"
    if not outcomes["passed"]:
        return "cannot" if outcomes["skipped"] else "-"
    return f"✓ {outcomes['passed']}"
