"""The table of bad inputs is that of the tests, leaves no number out, and names true tests."""

import re
from pathlib import Path

import bad_inputs_page

TESTS = Path(__file__).parents[1]
ASKED_FOR = range(1, 149)
"""Numbers that were given out: a case may get another test, and is never dropped."""


def test_page_is_that_of_the_tables() -> None:
    assert bad_inputs_page.PAGE.read_text("utf-8") == bad_inputs_page.page(), (
        "the page is behind the tests: .venv/bin/python tests/bad_inputs_page.py"
    )


def test_no_number_is_missing() -> None:
    assert sorted({*ASKED_FOR} - {row.number for row in bad_inputs_page.rows()}) == []


def test_each_row_is_one_line_of_four_cells() -> None:
    lines = bad_inputs_page.page().splitlines()
    rows = [line for line in lines if re.match(r"\| \d", line)]

    assert len(rows) == len(bad_inputs_page.rows())
    assert [row for row in rows if len(re.findall(r"(?<!\\)\|", row)) != 5] == []


def test_each_named_test_exists() -> None:
    missing = [
        row.by
        for row in bad_inputs_page.rows()
        if not re.search(
            rf"^(?:async )?def {row.by.partition('::')[2]}\(",
            (TESTS / row.by.partition("::")[0]).read_text("utf-8"),
            re.MULTILINE,
        )
    ]

    assert missing == []


def test_each_numbered_test_of_security_is_in_the_page() -> None:
    """A test whose name ends with numbers claims them."""
    named = {row.by.partition("::")[2] for row in bad_inputs_page.rows()}
    claims = re.compile(r"^(?:async )?def (test_\w+_\d+)\(", re.MULTILINE)
    tests = [
        name
        for file in (TESTS / "security").glob("test_*.py")
        for name in claims.findall(file.read_text("utf-8"))
    ]

    assert sorted({*tests} - named) == []
