"""Writes tests/security/bad_inputs.md: each bad input by number, what comes of it, who tries it.

`.venv/bin/python tests/bad_inputs_page.py` writes it, from the tables that the tests go through and
from bad_inputs.txt; a guard compares.
"""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

SECURITY = Path(__file__).parent / "security"
PAGE = SECURITY / "bad_inputs.md"
SINGLES = Path(__file__).with_name("bad_inputs.txt")
INTRODUCTION = """# Bad inputs, and what comes of each

What producers, operators, providers, configuration files and databases may get wrong, by number.
Each row is tried by the test in the last column, under `tests`, and `make pages` writes the page
from the tables of those tests.
A guard holds that it is true, that no number is missing, and that each test exists.

| number | input | outcome | tried by |
|---|---|---|---|
""".replace("\\\n", "")
LONGEST = 100


class Row(NamedTuple):
    """One row of the page."""

    number: int
    tried: str
    outcome: str
    by: str
    """The file, under `tests`, and the test."""


def rows() -> list[Row]:
    """Return all of them, by number."""
    return sorted([*_singles(), *_rows(), *_answers()], key=lambda row: row.number)


def page() -> str:
    """Return the whole page."""
    lines = [f"| {' | '.join([str(n), *map(_cell, texts)])} |" for n, *texts in rows()]
    return INTRODUCTION + "\n".join(lines) + "\n"


def _singles() -> Iterator[Row]:
    for line in SINGLES.read_text("utf-8").splitlines():
        if not line.startswith("#"):
            number, tried, outcome, by = line.split(" | ")
            yield Row(int(number), tried, outcome, by)


def _rows() -> Iterator[Row]:
    table = _module("test_bad_rows")
    by = "security/test_bad_rows.py::test_row_is_refused_by_name_or_accepted_whole"
    for bad in table.ROWS:
        told = f", names {bad.told}" if bad.told else ""
        outcome = f"SQLSTATE {bad.sqlstate}{told}" if bad.sqlstate else "accepted, and ends"
        yield Row(bad.number, f"insert: `{bad.column}` = `{_plain(bad.value)}`", outcome, by)


def _answers() -> Iterator[Row]:
    table = _module("test_bad_answers")
    file = "security/test_bad_answers.py::"
    for number, url in table.INSIDE.items():
        yield Row(
            number,
            f"recipient `{_plain(url)}`",
            "permanent: `destination_denied` or `recipient …`; nothing is called",
            f"{file}test_address_inside_or_url_that_is_none_is_called_by_nobody",
        )
    for number, (name, value) in table.HEADERS.items():
        yield Row(
            number,
            f"settings: header `{_plain(f'{name}: {value}')}`",
            "the start stops; the value is not repeated",
            f"{file}test_header_that_is_none_or_not_the_operators_stops_the_start",
        )
    for number, (answer, expected) in table.ANSWERS.items():
        yield Row(
            number,
            f"answer: `{_plain(answer.decode('latin-1'))}`",
            expected.__name__.lower() if expected else "no success",
            f"{file}test_bad_answer_is_an_outcome_and_clean",
        )


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, SECURITY / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(name, module)
    spec.loader.exec_module(module)
    return module


def _plain(text: str) -> str:
    shown = "".join(c if c.isprintable() and c.isascii() else ascii(c)[1:-1] for c in text)
    return shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}…"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
