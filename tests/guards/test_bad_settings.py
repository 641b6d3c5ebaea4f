"""Each adapter of ours has a bad setting in a test that wants the setting's name in the error."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from chimewayd.adapters import BUILT_IN

FOLDER = Path(__file__).parents[1] / "adapters"
TESTS = {
    "test_wrong_setting_is_named_without_its_value",
    "test_wrong_type_is_named_without_its_value",
}


def tables() -> Iterator[ast.FunctionDef]:
    for file in FOLDER.glob("test_*.py"):
        for node in ast.parse(file.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name in TESTS:
                yield node


def kinds(test: ast.FunctionDef) -> set[str]:
    """Return the adapters that a test makes: by name, or by the column `kind` of its table."""
    if "caught.value.setting ==" not in ast.unparse(test):
        return set()
    calls = [node for node in ast.walk(test) if isinstance(node, ast.Call)]
    (made,) = [call.args[1] for call in calls if ast.unparse(call.func) == "make"]
    if isinstance(made, ast.Constant):
        return {str(made.value)}
    (table,) = [call for call in calls if ast.unparse(call.func) == "pytest.mark.parametrize"]
    column = ast.literal_eval(table.args[0]).index(ast.unparse(made))
    assert isinstance(table.args[1], ast.List)
    rows = [row for row in table.args[1].elts if isinstance(row, ast.Tuple)]
    return {ast.literal_eval(row.elts[column]) for row in rows}


@pytest.mark.parametrize("kind", BUILT_IN)
def test_adapter_has_a_bad_setting_that_is_refused_by_name(kind: str) -> None:
    assert kind in {name for test in tables() for name in kinds(test)}
