"""The wheel, installed where there is no checkout: it migrates a database and delivers."""

import json
import os
import subprocess
import sys
import venv
import zipfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from commands import clean_environment
from running import Daemon

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
BUILD_SECONDS = 50


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as anybody builds it."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            f"--wheel-dir={folder}",
            ROOT,
        ],
        check=True,
        timeout=BUILD_SECONDS,
    )
    (built,) = folder.glob("chimewayd-*.whl")
    return built


@pytest.fixture(scope="module")
def command(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The installed command. What it depends on is borrowed, file by file, from our own venv."""
    place = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(place, with_pip=False, symlinks=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = place / "lib" / version / "site-packages"
    borrowed = next(path for path in sys.path if path.endswith("site-packages"))
    # The folder is searched; the .pth file of our checkout that lies in it is not read again.
    (packages / "borrowed.pth").write_text(borrowed + "\n", "utf-8")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "--python",
            place / "bin" / "python",
            "install",
            "--quiet",
            "--no-deps",
            "--no-index",
            "--ignore-installed",
            wheel,
        ],
        check=True,
        timeout=BUILD_SECONDS,
    )
    return place / "bin" / "chimewayd"


def test_wheel_holds_the_schema_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    shipped = {
        name.removeprefix("chimewayd/") for name in names if name.startswith("chimewayd/sql/")
    }
    ours = {
        str(file.relative_to(ROOT))
        for folder in ("migrations", "functions")
        for file in (ROOT / "sql" / folder).glob("*.sql")
    }
    assert ours - shipped == set()
    assert [name for name in names if "tests/" in name or name.startswith("deploy/")] == []


async def run(command: Path, place: Path, *arguments: str, dsn: str) -> str:
    ended = await anyio.run_process(
        [str(command), "--dsn", dsn, *arguments], cwd=place, env=clean_environment()
    )
    return ended.stdout.decode()


@asynccontextmanager
async def daemon(command: Path, place: Path, given: Mapping[str, str]) -> AsyncIterator[Daemon]:
    process = await anyio.open_process(
        [str(command), "run"],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        cwd=place,
        env=clean_environment() | dict(given),
    )
    running = Daemon(process)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(running.read)
            yield running
            tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                process.kill()
            await process.aclose()


async def test_installed_wheel_migrates_and_delivers(
    command: Path, empty_dsn: str, tmp_path: Path
) -> None:
    await run(command, tmp_path, "migrate", dsn=empty_dsn)
    given = {
        "CHIMEWAYD_DSN": empty_dsn,
        "CHIMEWAYD_CHANNELS": json.dumps({"bin": {"adapter": "sink"}}),
    }
    async with daemon(command, tmp_path, given) as running:
        await running.said("daemon_ready")
        sent = await run(command, tmp_path, "send", "bin", "me", "--payload", "{}", dsn=empty_dsn)
        await running.said("attempt_recorded", delivery_id=sent.strip(), outcome="succeeded")
        stopped = await running.stop()

    assert stopped.exit_code == 0


def test_installed_wheel_is_what_runs(command: Path, tmp_path: Path) -> None:
    asked = "import chimewayd; print(chimewayd.__file__)"
    said = subprocess.run(
        [command.with_name("python"), "-P", "-c", asked],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": ""},
    )

    assert Path(said.stdout.strip()).is_relative_to(command.parents[1])
