"""The adapter of the documents as a stranger's package: installed, found, held to its promises."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
ADAPTERS = ROOT / "chimewayd" / "adapters" / "README.md"
SECONDS = 180
BUILD = ("-m", "pip", "install", "--no-index", "--no-deps", "--no-build-isolation", "--quiet")


def block(document: Path, language: str, holds: str) -> str:
    """Return the one code block of a language that holds a text."""
    found: list[str] = re.findall(
        rf"^```{language}\n(.*?)^```$", document.read_text(), re.MULTILINE | re.DOTALL
    )
    (text,) = (text for text in found if holds in text)
    return text


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the package as the documents say, and install it beside us, not among us."""
    folder = tmp_path_factory.mktemp("chimewayd-ntfy")
    (folder / "chimewayd_ntfy.py").write_text(block(README, "python", "class NtfyAdapter"))
    (folder / "pyproject.toml").write_text(block(ADAPTERS, "toml", "entry-points"))
    (folder / "test_ntfy.py").write_text(block(ADAPTERS, "python", "class TestNtfy"))
    run(folder, *BUILD, "--target", str(folder / "site"), str(folder))
    return folder


def run(project: Path, *arguments: str) -> str:
    ended = subprocess.run(
        [sys.executable, *arguments],
        cwd=project / "site" if (project / "site").exists() else project,
        env=os.environ | {"PYTHONPATH": str(project / "site")},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.timeout(SECONDS)
def test_installed_plug_in_is_found_by_its_name(project: Path) -> None:
    made = run(project, "-c", "from chimewayd.adapters import load; print(load('ntfy'))")

    assert made == "<class 'chimewayd_ntfy.NtfyAdapter'>\n"


@pytest.mark.timeout(SECONDS)
def test_plug_in_of_the_documents_keeps_every_promise_and_shows_it(project: Path) -> None:
    command = ("-m", "pytest", "-q", "-p", "chimewayd.testing.table", str(project / "test_ntfy.py"))

    told = run(project, *command)

    table = re.search(r"^adapter .*\nntfy .*$", told, re.MULTILINE)
    assert table is not None, told
    # What the document shows is what is printed.
    assert table[0] in ADAPTERS.read_text()


def test_adapter_of_the_readme_is_as_short_as_it_says(project: Path) -> None:
    lines = (project / "chimewayd_ntfy.py").read_text().splitlines()

    assert len([line for line in lines if line and "import" not in line]) <= 20
