"""The kept table says what was found, and nothing better."""

from typing import Any

from faults import report, targets

ROUND: dict[str, Any] = {
    "seed": "1 calm-0",
    "recovery_seconds": 1.0,
    "first_seconds": 0.5,
    "facts": {},
    "problems": [],
    "missed": [],
    "inserted": 10,
    "terminal": 10,
    "duplicates": 0,
    "accounted": 0,
}


MANY = 144


def line(number: int, **found: object) -> str:
    """Return the line of a target after one round of each of its cases."""
    target = next(one for one in targets.TARGETS if one.number == number)
    known = {name: {"with": "", "rounds": MANY * [ROUND | found]} for name in target.cases}
    lines = targets.table(known)
    return next(one for one in lines if one.startswith(f"| R{number} |"))


def test_target_whose_cases_kept_their_promises_is_met() -> None:
    assert "| met |" in line(13)


def test_target_whose_case_broke_a_promise_is_broken() -> None:
    assert f"| BROKEN in {MANY} of {MANY} |" in line(13, problems=["lost"])


def test_target_beyond_its_aim_is_missed() -> None:
    assert "| missed |" in line(5, duplicates=1)


def test_smaller_run_than_aimed_at_is_missed() -> None:
    assert "| missed |" in line(3, facts={"deliveries": 20_000})


def test_target_whose_case_was_not_run_says_so() -> None:
    assert "not run: calm" in next(one for one in targets.table({}) if one.startswith("| R5 |"))


def test_broken_round_is_named_in_the_rendered_table() -> None:
    known = {"calm": {"with": "", "rounds": [ROUND | {"problems": ["lost one"]}]}}

    assert "* BROKEN, 1 calm-0: lost one" in report.render(known)
