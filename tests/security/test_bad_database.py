"""A database that answers otherwise than it should: one error, an end, and nothing half done.

130: what the functions of the schema cannot return, returned by functions that somebody changed.
"""

from collections.abc import Mapping

import engine
import pytest
import running
from gated import gated

pytestmark = pytest.mark.anyio

SIGNATURE = """
select oidvectortypes(p.proargtypes), pg_get_function_result(p.oid)
from pg_proc as p
where p.pronamespace = 'chimeway'::regnamespace and p.proname = $1
"""


async def replace(
    connection: engine.Connection, name: str, changed: Mapping[str, str], extra: str = ""
) -> None:
    """Put a function in front of one of ours that returns other values in some of its columns."""
    row = await connection.fetchrow(SIGNATURE, name)
    assert row is not None
    types, result = row
    columns = result.removeprefix("TABLE(").removesuffix(")")
    values = [
        changed.get(column.split()[0], f"t.{column.split()[0]}") for column in columns.split(", ")
    ]
    if extra:
        columns, values = f"{columns}, {extra} text", [*values, "'new'"]
    places = ", ".join(f"${n + 1}" for n in range(types.count(",") + 1))
    await connection.execute(f"alter function chimeway.{name} rename to true_{name}")
    await connection.execute(
        f"create function chimeway.{name}({types}) returns table ({columns}) language sql as "  # noqa: S608 - the tests' own text
        f"$$ select {', '.join(values)} from chimeway.true_{name}({places}) as t $$"
    )


@pytest.mark.parametrize("name", ["claim", "record", "next_due", "rescue", "expire"])
async def test_column_more_than_we_ask_for_is_not_looked_at_130(
    dsn: str, connection: engine.Connection, name: str
) -> None:
    await replace(connection, name, {}, extra="novelty")

    async with running.running(dsn, {"bin": {"adapter": "sink"}}) as daemon:
        await engine.insert(connection, channel="bin")
        await daemon.said("attempt_recorded", outcome="succeeded")
        stopped = await daemon.stop()

    assert stopped.exit_code == 0
    assert [line for line in stopped.lines if line["level"] in {"error", "critical"}] == []


@pytest.mark.parametrize(
    ("name", "column", "value", "told"),
    [
        ("claim", "delivery_id", "null::uuid", "claim returned nothing in delivery_id"),
        ("claim", "claim_id", "null::bigint", "claim returned nothing in claim_id"),
        ("claim", "attempt_number", "null::integer", "claim returned nothing in attempt_number"),
        ("claim", "channel", "null::text", "claim returned nothing in channel"),
        ("claim", "channel", "'another'", "claim returned channel 'another', not asked for"),
        ("claim", "recipient", "null::text", "claim returned nothing in recipient"),
        ("claim", "payload_json", "null::text", "claim returned nothing in payload_json"),
        ("record", "nth", "null::integer", "record returned a verdict on report None of 1"),
        ("record", "nth", "0", "record returned a verdict on report 0 of 1"),
        ("record", "nth", "2", "record returned a verdict on report 2 of 1"),
        ("record", "verdict", "'novel'", "record returned the verdict 'novel'"),
        ("record", "verdict", "null::text", "record returned the verdict None"),
    ],
)
async def test_answer_that_is_none_of_ours_is_one_error_and_an_end_130(
    dsn: str, connection: engine.Connection, name: str, column: str, value: str, told: str
) -> None:
    await replace(connection, name, {column: value})

    async with running.running(dsn, {"bin": {"adapter": "sink"}}) as daemon:
        await engine.insert(connection, channel="bin")
        ended = await daemon.ended()

    assert ended.exit_code == 1
    assert [line["event"] for line in ended.lines if line["level"] in {"error", "critical"}] == [
        "daemon_failed"
    ]
    (said,) = daemon.other_output
    assert told in said
    await engine.check_invariants(connection)


async def test_state_that_we_do_not_know_is_said_as_it_is_130(
    dsn: str, connection: engine.Connection
) -> None:
    await replace(connection, "record", {"status": "'novel'"})

    async with running.running(dsn, {"bin": {"adapter": "sink"}}) as daemon:
        await engine.insert(connection, channel="bin")
        (line,) = await daemon.said("attempt_recorded")
        stopped = await daemon.stop()

    assert line["status"] == "novel"
    assert stopped.exit_code == 0


async def test_row_that_is_gone_when_its_call_ends_is_told_and_nothing_waits_for_it_130(
    dsn: str, connection: engine.Connection
) -> None:
    async with gated() as gate, running.running(dsn, {"hooks": running.WEBHOOK}) as daemon:
        gone = await engine.insert(connection, channel="hooks", recipient=f"{gate.url}/")
        await gate.until_under_way(1)
        # As somebody with every right would, past the triggers.
        await connection.execute("set session_replication_role = replica")
        await connection.execute("delete from chimeway.deliveries where id = $1", gone)
        await connection.execute("reset session_replication_role")
        gate.open()
        (late,) = await daemon.said("outcome_stale")
        await engine.insert(connection, channel="hooks", recipient=f"{gate.url}/")
        await daemon.said("attempt_recorded", outcome="succeeded")
        stopped = await daemon.stop()

    assert late["delivery_id"] == str(gone)
    assert stopped.exit_code == 0
