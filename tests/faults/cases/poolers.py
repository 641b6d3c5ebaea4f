"""PgBouncer in transaction mode stands in front; LISTEN goes directly, or deafly through it."""

import shutil
from signal import SIGINT

from faults.cluster import PORT, Cluster
from faults.processes import Argv, Child
from faults.round import Case, Round

CONFIG = """
[databases]
* = host={server} port={port} user=postgres
[pgbouncer]
listen_addr =
listen_port = {port}
unix_socket_dir = {here}
auth_type = any
pool_mode = transaction
default_pool_size = 10
ignore_startup_parameters = extra_float_digits, jit, lock_timeout, statement_timeout, \
idle_in_transaction_session_timeout, synchronous_commit
"""


def missing() -> str | None:
    return None if _binary() else "pgbouncer is not installed"


def _binary() -> str | None:
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")


async def with_direct_listener(round_: Round) -> None:
    """The daemon works through the pooler, which is stopped and started again."""
    pooler = Pooler(round_)
    await pooler.start()
    await round_.daemon(dsn=pooler.server.dsn, listen_dsn=round_.cluster.dsn)
    await round_.moment()
    pooler.end()
    await pooler.start()
    round_.recovers_from_now()
    await round_.moment(2, 3)


async def with_deaf_listener(round_: Round) -> None:
    """LISTEN through the pooler is accepted and hears nothing: the poll finds what is there."""
    pooler = Pooler(round_)
    await pooler.start()
    await round_.daemon(dsn=pooler.server.dsn)
    round_.recovers_from_now()
    await round_.moment(6, 7)


class Pooler:
    """PgBouncer in front of the round's cluster, until the round is over."""

    def __init__(self, round_: Round) -> None:
        self.server = Cluster(round_.cluster.mould, round_.directory / "pooler")
        """Where it answers, in the words of a cluster."""
        here = self.server.directory
        self._config = here / "pgbouncer.ini"
        server = round_.cluster.directory
        self._config.write_text(CONFIG.format(server=server, here=here, port=PORT))
        self._child: Child | None = None
        round_.resources.callback(self.end)

    async def start(self) -> None:
        argv: Argv = [_binary() or "pgbouncer", self._config]
        account = self.server.mould.account
        self._child = Child(argv, self.server.log, account=account, last_signal=SIGINT)
        await self.server.until_it_answers()

    def end(self) -> None:
        if self._child is not None:
            self._child.end()


CASES = (
    Case(
        "pooler",
        "PgBouncer in transaction mode restarted, listen_dsn direct",
        with_direct_listener,
        drain_seconds=30,
        missing=missing,
    ),
    Case(
        "pooler-deaf",
        "PgBouncer in transaction mode for LISTEN as well",
        with_deaf_listener,
        drain_seconds=30,
        missing=missing,
    ),
)
