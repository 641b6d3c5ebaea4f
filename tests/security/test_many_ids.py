"""More ids than anybody means: one answer, soon, and nothing is done by half. Bad input 129."""

import re
from uuid import UUID, uuid4

import asyncpg
import engine
import logins
import pytest
from commands import chimewayd

pytestmark = pytest.mark.anyio

MILLION = 1_000_000
COMMAND_LINE = 30_000
"""About what Linux takes as the arguments of one program; more are the shell's to refuse."""
OPERATE = """
select count(*) from unnest($1::uuid[]) as t (id)
cross join lateral chimeway.{}(t.id, 'why', 'me') as v
"""


@pytest.mark.parametrize("verb", ["cancel", "hold"])
async def test_million_ids_of_which_one_is_unknown_are_one_error_and_no_change_129(
    dsn: str, connection: engine.Connection, verb: str
) -> None:
    await engine.configure(connection)
    waiting = await engine.insert(connection)
    ids = [waiting, *(UUID(int=n) for n in range(1, MILLION))]

    async with logins.session(dsn, "chimeway_operator") as operator:
        with pytest.raises(asyncpg.PostgresError) as refused:
            await operator.execute(OPERATE.format(verb), ids, timeout=100)

    assert refused.value.sqlstate == "NC001"
    assert len(str(refused.value)) < 200
    assert (await engine.look(connection, waiting))["status"] == "pending"
    await engine.check_invariants(connection)


async def test_command_line_full_of_unknown_ids_is_told_and_the_known_one_is_done_129(
    dsn: str, connection: engine.Connection
) -> None:
    await engine.configure(connection)
    waiting = await engine.insert(connection)
    unknown = [str(uuid4()) for _ in range(COMMAND_LINE)]

    ended = await chimewayd(
        *("--dsn", dsn, "cancel", *unknown, str(waiting), "--reason", "why"),
    )

    assert (ended.exit_code, ended.stdout) == (1, f"{waiting}  cancelled\n")
    told = ended.stderr.splitlines()
    assert len(told) < 50
    assert re.fullmatch(r"chimewayd: … and \d+ more", told[-1])
    assert (await engine.look(connection, waiting))["status"] == "cancelled"
