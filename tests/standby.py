"""A standby of a private Postgres: a copy that follows it, until it is promoted.

with embedded.server() as primary, standby_of(primary) as standby:
    …
    await promote(standby)
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg

from chimewayd import embedded


@contextmanager
def standby_of(primary: embedded.Server) -> Iterator[embedded.Server]:
    """Run a standby on a unix socket of its own for as long as the context is open."""
    major = int(primary.version.partition(".")[0])
    binaries, account = embedded._find_binaries(major), embedded._server_account()
    base = primary.socket_directory.parent  # the server's account may go there
    with TemporaryDirectory(prefix="chimewayd-standby-", dir=base) as name:
        if account:
            os.chown(name, account["user"], account["group"])
        subprocess.run(
            [
                binaries.directory / "pg_basebackup",
                f"--dbname={primary.dsn}",
                f"--pgdata={name}/cluster",
                "--write-recovery-conf",
                "--checkpoint=fast",
                "--no-sync",
            ],
            check=True,
            cwd="/",
            **account,
        )
        with embedded.server(Path(name), settings={"fsync": "off"}, version=major) as standby:
            yield standby


async def promote(standby: embedded.Server) -> None:
    """Make it a primary; return when it is one."""
    connection = await asyncpg.connect(standby.dsn)
    try:
        assert await connection.fetchval("select pg_promote(true, 30)")
    finally:
        await connection.close()
