"""Print what the suite of promises has shown: a row an adapter, a column a promise.

A plug-in of pytest: `pytest -p chimewayd.testing.table`. A cell counts the tests that passed.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping

import pytest

from chimewayd.testing.provider import Promise

SHOWN = "chimewayd promise"

_results: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))


def pytest_itemcollected(item: pytest.Item) -> None:
    """Note of each test what it shows, and of which adapter."""
    promise = getattr(getattr(item, "function", None), "promise", None)
    kind = getattr(getattr(item, "cls", None), "kind", None)
    if promise is not None and kind is not None:
        item.user_properties.append((SHOWN, f"{kind}\n{promise}"))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count the test; one that failed in its set-up or clean-up has failed."""
    for name, value in report.user_properties:
        if name == SHOWN and (report.when == "call" or report.failed):
            kind, _, promise = str(value).partition("\n")
            _results[kind][promise][report.outcome] += 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table."""
    if _results:
        terminalreporter.section("promises")
        for line in table(_results):
            terminalreporter.write_line(line)


def table(results: Mapping[str, Mapping[str, Counter[str]]]) -> list[str]:
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
        return "not run" if outcomes["skipped"] else "-"
    return f"✓ {outcomes['passed']}"
