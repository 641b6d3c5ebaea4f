"""The constraints: every dependency with its hashes, and nothing of where it came from."""

import re
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

FOLDER = Path(__file__).parents[2] / "deploy"
EXTRAS = ("apprise", "css", "ed25519", "fcm", "otel", "webpush")
"""Those that a daemon may want; the others are for people who work on it."""
FILES = {"constraints.txt": (), "constraints-extras.txt": EXTRAS}
HINT = "`make constraints` writes it anew"
PIN = re.compile(
    r"([a-z0-9][a-z0-9.-]*)==(\S+) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)"
)


def pins(file: str) -> dict[str, str]:
    found = PIN.findall((FOLDER / file).read_text())
    return {canonicalize_name(name): version for name, version, _ in found}


def needed(
    name: str, found: dict[str, Requirement], extras: Iterable[str] = ()
) -> dict[str, Requirement]:
    """Collect what a package and its extras need to run, and what that needs."""
    try:
        wanted = [Requirement(text) for text in requires(name) or []]
    except PackageNotFoundError:
        return found  # needed elsewhere, not on this machine
    for requirement in wanted:
        marker = requirement.marker
        if marker and not any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            continue
        key = canonicalize_name(requirement.name)
        if key not in found:
            found[key] = requirement
            needed(key, found, requirement.extras)
    return found


@pytest.mark.parametrize("file", FILES)
def test_file_holds_pins_with_hashes_and_nothing_else(file: str) -> None:
    assert PIN.sub("", (FOLDER / file).read_text("utf-8")) == "", HINT


@pytest.mark.parametrize(("file", "extras"), FILES.items())
def test_every_dependency_is_pinned(file: str, extras: tuple[str, ...]) -> None:
    assert needed("chimewayd", {}, extras).keys() - pins(file).keys() == set(), HINT


@pytest.mark.parametrize(
    ("file", "requirement"),
    [(file, found) for file in FILES for found in needed("chimewayd", {}, FILES[file]).values()],
    ids=str,
)
def test_pin_is_a_version_that_is_asked_for(file: str, requirement: Requirement) -> None:
    version = pins(file).get(canonicalize_name(requirement.name), "")

    assert requirement.specifier.contains(version, prereleases=True), HINT


def test_extras_change_no_version_of_the_rest() -> None:
    assert pins("constraints.txt").items() <= pins("constraints-extras.txt").items(), HINT


def test_each_extra_of_a_daemon_is_pinned() -> None:
    told = requires("chimewayd") or []
    extras = {extra for text in told for extra in re.findall(r"extra == ['\"]([a-z0-9]+)", text)}
    others = {"audit", "bench", "check", "demo", "package", "test"}

    assert extras - others == set(EXTRAS)
