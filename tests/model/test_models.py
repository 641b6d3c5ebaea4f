"""The models hold, and the mistakes put into them are found: the cases that take a second each."""

import shutil
from pathlib import Path

import pytest
from model import run

MISSING = [tool for tool in ("spin", "gcc") if shutil.which(tool) is None]

pytestmark = pytest.mark.skipif(
    bool(MISSING), reason=f"not on the PATH: {', '.join(MISSING)} (Debian: apt install spin gcc)"
)
QUICK = [case for case in run.CASES if not case.is_long]


@pytest.mark.parametrize("case", QUICK, ids=lambda case: f"{case.model}: {case.name}")
def test_search_finds_what_it_must(case: run.Case, tmp_path: Path) -> None:
    finding = run.check(case, tmp_path)

    assert finding.what == case.finds
