"""In a container a command is process 1, which the kernel spares: SIGTERM ends it all the same."""

import os
import shutil
import signal
import subprocess

import anyio
import pytest
from commands import COMMAND, DEADLINE_SECONDS, clean_environment
from engine import Connection
from running import eventually

from chimewayd import migrate

pytestmark = pytest.mark.anyio

AS_ROOT = () if os.geteuid() == 0 else ("--user", "--map-root-user")
AS_FIRST = ("unshare", *AS_ROOT, "--pid", "--fork", "--kill-child")
WAITING = """
select count(*) from pg_stat_activity
where application_name = 'chimewayd/command' and datname = current_database()
"""


def can_be_first() -> bool:
    if shutil.which(AS_FIRST[0]) is None:
        return False
    return subprocess.run([*AS_FIRST, "true"], check=False, capture_output=True).returncode == 0


@pytest.mark.skipif(not can_be_first(), reason="no process namespace is to be had here")
async def test_command_that_is_process_1_ends_at_sigterm(dsn: str, connection: Connection) -> None:
    await connection.execute("select pg_advisory_lock($1)", migrate.LOCK)
    process = await anyio.open_process(
        [*AS_FIRST, str(COMMAND), "--dsn", dsn, "migrate"], env=clean_environment()
    )
    try:
        await eventually(lambda: connection.fetchval(WAITING), 1)
        children = anyio.Path(f"/proc/{process.pid}/task/{process.pid}/children")
        os.kill(int(await children.read_text()), signal.SIGTERM)
        with anyio.fail_after(DEADLINE_SECONDS):
            exit_code = await process.wait()
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                process.kill()
            await process.aclose()

    assert exit_code == 128 + signal.SIGTERM
