"""The constraints: every dependency with its hashes, and nothing of where it came from."""

import re
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

FILE = Path(__file__).parents[2] / "deploy" / "constraints.txt"
HINT = "`make constraints` writes it anew"
PIN = re.compile(
    r"([a-z0-9][a-z0-9.-]*)==(\S+) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)"
)


def pins() -> dict[str, str]:
    return {canonicalize_name(name): version for name, version, _ in PIN.findall(FILE.read_text())}


def needed(name: str, found: dict[str, Requirement]) -> dict[str, Requirement]:
    """Collect what a package needs to run, and what that needs."""
    try:
        wanted = [Requirement(text) for text in requires(name) or []]
    except PackageNotFoundError:
        return found  # needed elsewhere, not on this machine
    for requirement in wanted:
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        key = canonicalize_name(requirement.name)
        if key not in found:
            found[key] = requirement
            needed(key, found)
    return found


def test_file_holds_pins_with_hashes_and_nothing_else() -> None:
    assert PIN.sub("", FILE.read_text("utf-8")) == "", HINT


def test_every_dependency_is_pinned() -> None:
    assert needed("chimewayd", {}).keys() - pins().keys() == set(), HINT


@pytest.mark.parametrize("requirement", needed("chimewayd", {}).values(), ids=lambda r: r.name)
def test_pin_is_a_version_that_is_asked_for(requirement: Requirement) -> None:
    version = pins().get(canonicalize_name(requirement.name), "")

    assert requirement.specifier.contains(version, prereleases=True), HINT
