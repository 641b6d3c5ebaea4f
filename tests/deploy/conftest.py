"""The Debian package, built once for whoever looks at it."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, built as a release is."""
    folder = tmp_path_factory.mktemp("deb")
    built = subprocess.run(
        [ROOT / "deploy/deb/build", folder], capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    return Path(built.stdout.splitlines()[-1])
