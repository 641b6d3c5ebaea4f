"""The suite of promises tells who breaks one: it is run on adapters that do."""

import subprocess
import sys
from pathlib import Path

import pytest

BROKEN = Path(__file__).with_name("broken_promises.py")

NONE: frozenset[str] = frozenset()
BREAKS = {
    "Honest": NONE,
    "Forgetful": {"same key"},
    "Eager": {"one call"},
    "Patient": {"deadline"},
    "Optimist": {"outcome"},
    "Talkative": {"no secret"},
    "Endless": {"bounded"},
    "Logging": {"no secret"},
    "Raising": {"raises nothing"},
    "LeavesConnection": {"nothing left"},
    "LeavesThread": {"nothing left"},
    "LeavesProcess": {"nothing left"},
}


@pytest.fixture(scope="module")
def table() -> dict[str, set[str]]:
    """Run the suite on all of them; return the promises that each was found to break."""
    command = [sys.executable, "-m", "pytest", "-q", "--tb=no", "-p", "chimewayd.testing.table"]
    run = subprocess.run(
        [*command, BROKEN], capture_output=True, text=True, timeout=150, check=False
    )
    lines = run.stdout.partition(" promises =")[2].splitlines()[1:]
    header, *rows = lines[: len(BREAKS) + 1]
    columns = [column.strip() for column in header.split("  ") if column]
    found = {}
    for row in rows:
        kind, *cells = (cell.strip() for cell in row.split("  ") if cell)
        failed = {name for name, cell in zip(columns[1:], cells, strict=True) if "FAILED" in cell}
        found[kind] = failed
    return found


@pytest.mark.timeout(180)  # a hundred calls that hang until their deadline, and then some
@pytest.mark.parametrize("kind", BREAKS)
def test_broken_promise_is_found_and_no_other(kind: str, table: dict[str, set[str]]) -> None:
    assert table[kind] == BREAKS[kind]
