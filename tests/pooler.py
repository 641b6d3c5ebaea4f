"""PgBouncer in front of a Postgres, in transaction mode, on a unix socket of its own.

with pooled(dsn, pool_size=1) as pooled_dsn:
    …
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import pytest
from stalling_proxy import with_hosts

from chimewayd import dsn as dsn_module
from chimewayd import embedded
from chimewayd.target import Place

PORT = 6432
START_SECONDS = 10.0

CONFIGURATION = """
[databases]
* = host={host} port={port} user={user} password={password}

[pgbouncer]
listen_addr =
listen_port = {pooler_port}
unix_socket_dir = {directory}
auth_type = any
pool_mode = transaction
default_pool_size = {pool_size}
logfile = {directory}/log
{more}
"""


@contextmanager
def pooled(dsn: str, *, pool_size: int = 2, more: str = "") -> Iterator[str]:
    """Run a pooler for as long as the context is open; yield the DSN that leads through it.

    `more` is more of its configuration. Where it is not installed, the test is skipped.
    """
    binary = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if binary is None:
        pytest.skip("pgbouncer is not installed")
    place, parts = dsn_module.parse(dsn, {}).places[0], urlsplit(dsn)
    with TemporaryDirectory(prefix="chimewayd-pooler-", dir="/tmp") as name:
        directory = Path(name)
        text = CONFIGURATION.format(
            host=place.host,
            port=place.port,
            user=parts.username,
            password=parts.password or "none",
            pooler_port=PORT,
            directory=name,
            pool_size=pool_size,
            more=more,
        )
        (directory / "pgbouncer.ini").write_text(text)
        with _running([binary, f"{name}/pgbouncer.ini"], directory):
            yield with_hosts(dsn, Place(name, PORT))


@contextmanager
def _running(argv: list[str], directory: Path) -> Iterator[None]:
    account = embedded._server_account()  # as root it refuses to run
    if account:
        os.chown(directory, account["user"], account["group"])
    process = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", **account
    )
    try:
        _wait_until_ready(process, directory)
        yield
    finally:
        process.kill()
        process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], directory: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.connect(f"{directory}/.s.PGSQL.{PORT}")
            return
        time.sleep(0.01)
    log = directory / "log"
    raise AssertionError(f"pgbouncer: {log.read_text() if log.exists() else process.poll()}")
