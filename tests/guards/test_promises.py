"""Each adapter of ours is held to the suite of promises; none is forgotten."""

import re
from pathlib import Path

import pytest

from chimewayd.adapters import BUILT_IN

FOLDER = Path(__file__).parents[1] / "adapters" / "promises"


@pytest.mark.parametrize("kind", BUILT_IN)
def test_adapter_has_its_class_of_promises(kind: str) -> None:
    told = "".join(file.read_text() for file in FOLDER.glob("test_*.py"))

    assert re.search(rf'^    kind = "{kind}"$', told, re.MULTILINE)
