"""Postgres clusters that can be stopped, killed, starved and failed over.

A mould is cast once: a migrated cluster, stopped. Each cluster is a copy of it, so a round begins
a third of a second after it was asked for and shares nothing with any other.
"""

import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT, SIGQUIT, Signals
from typing import TypeAlias

import anyio
import asyncpg

from chimewayd import embedded, migrate
from faults import processes
from faults.processes import Account, Argv, Child

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

DATABASE = "chimeway"
PORT = 5432
START_SECONDS = 30.0
END_SECONDS = 10.0
RETRY_SECONDS = 0.05
SETTINGS = {
    # Killed processes lose nothing that the kernel has; only a power cut would, and we cause none.
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_connections": "60",
    "max_wal_size": "256MB",
    "listen_addresses": "",
}
NOT_YET = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.InterfaceError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
)

# A file system of its own that is small and goes when the last process in it ends. The loop is the
# supervisor that a server without space for its log needs: it ends by a panic.
SMALL_DISK = """
room=$1 home=$2 mould=$3 log=$4 orders=$5; shift 5
mount -t tmpfs -o "size=$room,mode=0700" faults "$home" || exit 71
cp -a "$mould/." "$home/data" || exit 72
if [ -n "$log" ]; then mv "$home/data/pg_wal" "$log" && ln -s "$log" "$home/data/pg_wal"; fi
setpriv --pdeathsig KILL sh -c '
  until [ -e "$0/fill" ]; do sleep 0.1; done; cat /dev/zero > "$1/filler"
  until [ -e "$0/free" ]; do sleep 0.1; done; rm "$1/filler"' "$orders" "$home" &
while :; do setpriv --pdeathsig QUIT "$@"; sleep 0.2; done
"""


@dataclass(frozen=True, slots=True)
class Mould:
    """A stopped, migrated cluster, and what runs it."""

    data: Path
    directory: Path
    binaries: Path
    version: str
    account: Account


@asynccontextmanager
async def casting() -> AsyncIterator[Mould]:
    """Make the mould; everything of the run lives in its directory, which is removed at the end."""
    account = embedded._server_account()
    base = Path(tempfile.gettempdir())
    if len(str(base)) > embedded.BASE_CHARACTERS or not embedded._may_execute(base, account):
        base = Path("/tmp")
    with tempfile.TemporaryDirectory(prefix="chimewayd-faults-", dir=base) as name:
        directory = Path(name)
        binaries = embedded._executable(embedded._find_binaries(None), directory, account)
        embedded._hand_over(directory, account)
        owner = Account(**account)
        mould = Mould(directory / "mould", directory, binaries.directory, binaries.version, owner)
        flags = ["-U", "postgres", "-E", "UTF8", "--locale=C", "-A", "trust", "--no-sync"]
        initdb: Argv = [binaries.directory / "initdb", "-D", mould.data, *flags]
        await processes.run(initdb, directory / "initdb.log", owner)
        await _migrate(mould)
        yield mould


async def _migrate(mould: Mould) -> None:
    cluster = Cluster(mould, mould.data.with_name("cast"), data=mould.data)
    await cluster.start(database="postgres")
    try:
        async with connected(cluster.dsn_of("postgres")) as connection:
            await connection.execute(f"create database {DATABASE}")
        async with connected(cluster.dsn) as connection:
            await migrate.apply(connection)
            await connection.execute("create schema faults")
            await connection.execute("checkpoint")
        await cluster.stop(SIGINT)
    finally:
        cluster.end()


class Cluster:
    """One server in one directory. It listens on a unix socket; TCP is the proxies' business."""

    def __init__(
        self,
        mould: Mould,
        directory: Path,
        settings: Mapping[str, str] | None = None,
        data: Path | None = None,
    ) -> None:
        self.mould = mould
        self.directory = directory
        self.data = data or directory / "data"
        self.log = directory / "log"
        self.environment: dict[str, str] = dict(os.environ)
        """Of the server's process, from its next start on."""
        self._settings = SETTINGS | dict(settings or {})
        self._child: Child | None = None
        self._is_small = False
        directory.mkdir()
        embedded._hand_over(directory, embedded._server_account())

    @property
    def dsn(self) -> str:
        return self.dsn_of(DATABASE)

    def dsn_of(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.directory}&port={PORT}"

    @property
    def socket(self) -> Path:
        return self.directory / f".s.PGSQL.{PORT}"

    async def copy_mould(self) -> None:
        copy: Argv = ["cp", "-a", self.mould.data, self.data]
        await processes.run(copy, self.log, self.mould.account)

    async def start(self, database: str = DATABASE) -> None:
        """Start the server and wait until it takes connections.

        Raises:
            RuntimeError: it did not.
        """
        await self.until_it_answers(database, self._launch)

    def _launch(self) -> None:
        # After a kill a new server is refused until the last child of the old one has gone.
        if self._child is None or self._child.has_ended:
            account = self.mould.account
            self._child = Child(self._argv(), self.log, self.environment, account, SIGQUIT)

    async def until_it_answers(
        self, database: str = DATABASE, before_each_look: Callable[[], None] = lambda: None
    ) -> None:
        """Wait until it takes connections.

        Raises:
            RuntimeError: it did not.
        """
        with anyio.move_on_after(START_SECONDS):
            while True:
                before_each_look()
                if await self.answers(database):
                    return
                await anyio.sleep(RETRY_SECONDS)
        tail = self.log.read_text(errors="replace")[-2000:]
        raise RuntimeError(f"no answer from Postgres:\n{tail}")

    async def start_in(self, room_megabytes: int, log: Path | None) -> None:
        """Start on a disk of its own and of this size; `log`: the write-ahead log goes elsewhere.

        Raises:
            RuntimeError: it did not start, or this machine gives no such disk.
        """
        self._is_small = True
        self.data = self.directory / "small" / "data"
        await processes.run(["mkdir", self.data.parent], self.log, self.mould.account)
        own: Argv = [
            f"{room_megabytes}m",
            self.data.parent,
            self.mould.data,
            log or "",
            self.directory,
        ]
        space = ["unshare", "-Um", "--map-current-user", "--keep-caps"]
        argv: Argv = [
            *space,
            "setpriv",
            "--pdeathsig",
            "KILL",
            "sh",
            "-c",
            SMALL_DISK,
            "small",
            *own,
        ]
        self._child = Child([*argv, *self._argv()], self.log, account=self.mould.account)
        await self.until_it_answers()

    def fill_disk(self) -> None:
        """Leave no space on the small disk."""
        (self.directory / "fill").touch()

    def free_disk(self) -> None:
        """Give the space back."""
        (self.directory / "free").touch()

    def _argv(self) -> Argv:
        flags = [f"--{name}={value}" for name, value in self._settings.items()]
        places: Argv = ["-D", self.data, "-k", self.directory, "-p", f"{PORT}"]
        return [self.mould.binaries / "postgres", *flags, *places]

    async def answers(self, database: str = DATABASE) -> bool:
        """Whether it takes connections now."""
        try:
            connection = await asyncpg.connect(self.dsn_of(database), timeout=5)
        except (*NOT_YET, asyncpg.PostgresError):
            return False
        connection.terminate()
        return True

    async def stop(self, number: Signals) -> None:
        """SIGINT: fast; SIGQUIT: immediate; SIGKILL: the postmaster alone, which ends the rest."""
        assert self._child is not None
        self._child.signal(number)
        await self._child.ended(START_SECONDS)

    async def standby(self, directory: Path) -> "Cluster":
        """Copy this server while it runs and start the copy as a standby that follows it."""
        other = Cluster(self.mould, directory, self._settings)
        whence: Argv = ["-h", self.directory, "-p", f"{PORT}", "-U", "postgres"]
        ways: Argv = ["-D", other.data, "-R", "-X", "stream", "-c", "fast", "--no-sync"]
        argv: Argv = [self.mould.binaries / "pg_basebackup", *whence, *ways]
        await processes.run(argv, other.log, self.mould.account)
        await other.start()
        return other

    def end(self) -> None:
        """End the server, whatever state it is in."""
        if self._child is not None:
            self._child.end()
        # On its small disk the server is a grandchild, which the kernel ends for us.
        deadline = time.monotonic() + END_SECONDS
        while self.socket.exists() and time.monotonic() < deadline and self._is_small:
            time.sleep(RETRY_SECONDS)


@asynccontextmanager
async def connected(dsn: str, call_seconds: float = 30.0) -> AsyncIterator[Connection]:
    """Connect for as long as the block."""
    connection = await asyncpg.connect(dsn, timeout=10, command_timeout=call_seconds)
    try:
        yield connection
    finally:
        connection.terminate()
