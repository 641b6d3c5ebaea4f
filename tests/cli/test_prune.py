"""`chimewayd prune`, and the daemon that does the same by itself."""

import json
from datetime import timedelta

import engine
import pytest
from commands import chimewayd
from running import eventually, running
from terminal import on_a_terminal

pytestmark = pytest.mark.anyio

DAY = timedelta(days=1)
COUNT = "select count(*) from chimeway.deliveries"


async def old(connection: engine.Connection, count: int) -> None:
    """Insert deliveries that ended two days ago."""
    await connection.execute("set session_replication_role = replica")
    await connection.execute(
        "insert into chimeway.deliveries "
        "(id, channel, recipient, payload, status, inserted_at, finished_at) "
        "select overlay(gen_random_uuid()::text placing "
        "  left(chimeway.id_at(now() - interval '2 days')::text, 14) from 1)::uuid, "
        "  'email', 'ada', '{\"a\": 1}', 'succeeded', now() - interval '2 days', "
        "  now() - interval '2 days' "
        "from generate_series(1, $1::integer)",
        count,
    )
    await connection.execute("reset session_replication_role")
    await connection.execute(
        "insert into chimeway.tallies values ('email', 'succeeded', $1)", count
    )


async def test_it_tells_what_would_go_and_then_lets_it_go(
    dsn: str, connection: engine.Connection
) -> None:
    await engine.configure(connection)
    await old(connection, 1500)
    await engine.ended(connection, "succeeded")
    await connection.execute("select chimeway.configure_retention('email', null, $1)", DAY)

    dry = await chimewayd("--dsn", dsn, "prune", "--dry-run")
    between = await connection.fetchval(COUNT)
    wet = await chimewayd("--dsn", dsn, "prune", "--at-once", "--json")

    assert dry.stdout == "would delete 1500, redact 0, of 1500 looked at\n"
    assert (dry.exit_code, wet.exit_code, between) == (0, 0, 1501)
    assert wet.document == {
        "deleted": 1500,
        "redacted": 0,
        "looked_at": 1500,
        "dry_run": False,
        "channels": [
            {"channel": "email", "redact_after_seconds": None, "delete_after_seconds": 86400.0}
        ],
    }
    assert await connection.fetchval(COUNT) == 1
    await engine.check_invariants(connection)


async def test_without_an_age_nothing_goes_and_it_says_where_to_set_one(
    dsn: str, connection: engine.Connection
) -> None:
    await engine.configure(connection)
    await old(connection, 1)

    ended = await chimewayd("--dsn", dsn, "prune")

    assert (ended.exit_code, ended.stdout) == (3, "")
    assert "channels.NAME.retention.delete_after" in ended.stderr
    assert await connection.fetchval(COUNT) == 1


async def test_the_daemon_prunes_by_its_configuration(
    dsn: str, connection: engine.Connection
) -> None:
    await old(connection, 600)
    channel = {"adapter": "sink", "retention": {"delete_after": "1d"}}

    async with running(dsn, {"email": channel}) as daemon:
        (line,) = await daemon.said("deliveries_pruned")

    assert (line["deleted"], line["redacted"]) == (600, 0)
    assert await connection.fetchval(COUNT) == 0
    await engine.check_invariants(connection)


async def test_ages_that_are_taken_out_of_the_configuration_hold_no_longer(
    dsn: str, connection: engine.Connection
) -> None:
    async def ages() -> list[object]:
        row = await connection.fetchrow(
            "select redact_after, delete_after from chimeway.channels where name = 'email'"
        )
        return list(row or ())

    kept = {"adapter": "sink", "retention": {"redact_after": "12h", "delete_after": "1d"}}
    async with running(dsn, {"email": kept}):
        await eventually(ages, wanted=list[object]([DAY / 2, DAY]))
    async with running(dsn, {"email": {"adapter": "sink"}}):
        await eventually(ages, wanted=list[object]([None, None]))


@pytest.mark.parametrize(
    ("retention", "said"),
    [
        ({"delete_after": "5m"}, "retention.delete_after"),
        ({"redact_after": "2d", "delete_after": "1d"}, "is not shorter than delete_after (1d)"),
        ({"delte_after": "1d"}, "did you mean"),
    ],
)
async def test_wrong_ages_stop_the_start(retention: dict[str, str], said: str) -> None:
    channels = json.dumps({"email": {"adapter": "sink", "retention": retention}})

    ended = await chimewayd("run", environment={"CHIMEWAYD_CHANNELS": channels})

    assert ended.exit_code == 78
    assert said in ended.stderr


async def test_a_terminal_sees_how_far_it_is(dsn: str, connection: engine.Connection) -> None:
    await engine.configure(connection)
    await old(connection, 1500)
    await connection.execute("select chimeway.configure_retention('email', null, $1)", DAY)
    await connection.execute("analyze chimeway.deliveries")

    status, shown = await on_a_terminal("--dsn", dsn, "prune", "--dry-run")

    assert status == 0
    assert "1500/1500" in shown
    assert "100%" in shown
