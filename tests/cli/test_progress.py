"""Long work shows how far it is, how quick, and until when: on a terminal, and nowhere else."""

import re

import engine
import pytest
from commands import chimewayd
from terminal import on_a_terminal

pytestmark = pytest.mark.anyio

COUNT = 1100  # more than fit on one page
MANY = """
insert into chimeway.deliveries (channel, recipient, payload)
select 'email', 'a' || n, '{}' from generate_series(1, $1::integer) as n
"""
CANCEL = ("cancel", "--channel", "email", "--reason", "enough", "--yes", "--json")


async def test_a_terminal_sees_count_rate_and_share(
    dsn: str, connection: engine.Connection
) -> None:
    await engine.configure(connection)
    await connection.execute(MANY, COUNT)

    status, shown = await on_a_terminal("--dsn", dsn, *CANCEL)

    assert status == 0
    assert f"{COUNT}/{COUNT}" in shown
    assert "100%" in shown
    assert re.search(r"[\d,]+/s", shown)


async def test_a_pipe_sees_none_of_it(dsn: str, connection: engine.Connection) -> None:
    await engine.configure(connection)
    await connection.execute(MANY, COUNT)

    ended = await chimewayd("--dsn", dsn, *CANCEL)

    assert (ended.exit_code, ended.stderr) == (0, "")
