"""The rules of the tree: small files, named after their job, and no event that nobody says."""

import re
from pathlib import Path

import pytest

from chimewayd.log import Event

ROOT = Path(__file__).parents[2]
PACKAGE = sorted((ROOT / "chimewayd").rglob("*.py"))
MODULES = [*PACKAGE, *sorted((ROOT / "tests").rglob("*.py"))]
SQL_FUNCTIONS = sorted((ROOT / "sql" / "functions").glob("*.sql"))
LINES = 300
NOT_A_JOB = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}


def name(file: Path) -> str:
    return str(file.relative_to(ROOT))


@pytest.mark.parametrize("file", [*MODULES, *SQL_FUNCTIONS], ids=name)
def test_file_fits_in_one_reading(file: Path) -> None:
    lines = file.read_text().count("\n")

    assert lines <= LINES


@pytest.mark.parametrize("file", MODULES, ids=name)
def test_module_is_named_after_its_job(file: Path) -> None:
    assert not NOT_A_JOB.intersection(re.split(r"[_/]", name(file.with_suffix(""))))


@pytest.mark.parametrize("event", Event)
def test_event_is_said_somewhere(event: Event) -> None:
    use = re.compile(rf"\bEvent\.{event.name}\b")

    users = [name(file) for file in PACKAGE if use.search(file.read_text())]

    assert users != []
