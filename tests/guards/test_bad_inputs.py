"""The table of bad inputs leaves no number out, and each of its tests exists and tries it."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS / "security" / "bad_inputs.md"
ROW = re.compile(r"^\| (\d+) \| (.+) \| (.+) \| (\S+)::(\w+) \|$", re.MULTILINE)
BY_NUMBER = re.compile(r"^    (?:Bad\()?\(?(\d+)[:,]|^        \((\d+),", re.MULTILINE)
"""The number of a case in the tables of the tests."""
TABLES = ("security/test_bad_rows.py", "security/test_bad_answers.py")
HAS_TABLE = {
    "test_row_is_refused_by_name_or_accepted_whole",
    "test_address_inside_or_url_that_is_none_is_called_by_nobody",
    "test_header_that_is_none_or_not_the_operators_stops_the_start",
    "test_bad_answer_is_an_outcome_and_clean",
    "test_endless_answer_ends_within_the_deadline",
}


def rows() -> list[tuple[int, str, str]]:
    """Return number, file and test of each row."""
    found = ROW.findall(PAGE.read_text("utf-8"))
    return [(int(number), file, name) for number, _, _, file, name in found]


def test_no_number_is_missing_and_no_row_is_malformed() -> None:
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if re.match(r"\| \d", line)]

    assert len(rows()) == len(lines)
    assert sorted(set(range(1, 149)) - {number for number, *_ in rows()}) == []


def test_each_named_test_exists() -> None:
    missing = [
        (file, name)
        for _, file, name in rows()
        if not re.search(
            rf"^(?:async )?def {name}\(", (TESTS / file).read_text("utf-8"), re.MULTILINE
        )
    ]

    assert missing == []


def test_each_case_of_a_table_is_in_the_page_and_each_row_in_the_table() -> None:
    tried = {
        int(one or other)
        for file in TABLES
        for one, other in BY_NUMBER.findall((TESTS / file).read_text("utf-8"))
    }

    assert tried == {number for number, _, name in rows() if name in HAS_TABLE}
