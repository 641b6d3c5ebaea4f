"""Environments of the peers, under .bench/: made on first use, from package names alone."""

import json
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from bench import processes

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".bench"
INSTALL_SECONDS = 600.0
PIP = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
OLDEST_OF_OBAN = (3, 12)


class PeerMissingError(Exception):
    """A peer cannot be run on this machine; the message says why."""


@dataclass(frozen=True, slots=True)
class Environment:
    """A peer's own interpreter and modules."""

    argv: tuple[str | Path, ...]
    variables: dict[str, str]
    version: str


async def python(
    package: str, requirements: tuple[str, ...], oldest: tuple[int, int]
) -> Environment:
    """Make a virtual environment with these requirements.

    Raises:
        PeerMissingError: no interpreter is new enough, or pip could not install them.
    """
    home = CACHE / package
    interpreter = home / "bin" / "python"
    stamp = home / "installed"
    if not stamp.exists() or stamp.read_text() != repr(requirements):
        base = _interpreter(oldest)
        shutil.rmtree(home, ignore_errors=True)
        pip: list[str | Path] = [interpreter, *PIP]
        await _install(package, [base, "-m", "venv", home])
        await _install(package, [*pip, *requirements])
        stamp.write_text(repr(requirements))
    version = await processes.run(
        [interpreter, "-c", f"from importlib.metadata import version; print(version({package!r}))"],
        os.environ,
        INSTALL_SECONDS,
    )
    variables = {"PYTHONPATH": str(ROOT / "tests"), "PYTHONDONTWRITEBYTECODE": "1"}
    return Environment(
        (interpreter, "-m", f"bench.peers.{package}_worker"), variables, version.strip()
    )


async def node(package: str, requirement: str) -> Environment:
    """Install a node package.

    Raises:
        PeerMissingError: node or npm was not found, or npm could not install it.
    """
    home = CACHE / package
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise PeerMissingError("node and npm were not found")
    manifest = home / "node_modules" / package / "package.json"
    if not manifest.exists():
        home.mkdir(parents=True, exist_ok=True)
        (home / "package.json").write_text("{}")
        quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
        await _install(package, [npm, "install", "--prefix", home, *quiet, requirement])
    script = Path(__file__).with_name("peers") / "graphile_worker.mjs"
    version = json.loads(manifest.read_text())["version"]
    return Environment((node, script), {"BENCH_MODULES": str(home)}, version)


async def _install(package: str, argv: list[str | Path]) -> None:
    try:
        await processes.run(argv, os.environ, INSTALL_SECONDS)
    except processes.ChildError as error:
        sys.stderr.write(f"{package}: {error}\n")  # it may name paths and hosts: not for the report
        raise PeerMissingError(
            "its environment could not be made; the run's own output says why"
        ) from error


def _interpreter(oldest: tuple[int, int]) -> str | Path:
    """Return an interpreter that is new enough: ours, one on PATH, or one of pyenv's.

    Raises:
        PeerMissingError: there is none.
    """
    if sys.version_info >= oldest:
        return sys.executable
    newer = [f"python{oldest[0]}.{minor}" for minor in range(oldest[1], oldest[1] + 4)]
    # pyenv's shims are on PATH for versions that are not switched on: ask the versions first.
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [path for name in newer for path in sorted(pyenv.glob(f"*/bin/{name}"))]
    on_path: list[str | Path] = [
        path for name in newer if (path := shutil.which(name)) and not re.search("shims", path)
    ]
    candidates = [*on_path, *found]
    if not candidates:
        raise PeerMissingError(f"no Python {oldest[0]}.{oldest[1]} or newer was found")
    return candidates[0]


def inherited() -> dict[str, str]:
    """Return our own variables without what would change where and how an engine connects."""
    unwanted = ("PG", "CHIMEWAYD_", "PYTHON", "DATABASE_URL", "OBAN_", "NODE_")
    return {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
