"""The daemon under its own role: every stage works, and no table can be reached past them."""

import sys
from pathlib import Path
from signal import SIGKILL
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import engine
import logins
import pytest
import running

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

CALLED = "select funcname from pg_stat_user_functions where schemaname = 'chimeway'"
STATUSES = "select channel, status, count(*) from chimeway.deliveries group by 1, 2"

STAGES = {
    *("configure_channel", "register_daemon", "forget_daemons", "unserved_channels"),
    *("claim", "next_due", "record", "release_unsent", "pause_channel", "heartbeat"),
    *("end_orphaned_leases", "rescue", "expire", "roll_up_tallies"),
}
"""What a start, a day's work, a fault of ours, a crash and a stop call."""


def script(tmp_path: Path, text: str, **channel: object) -> dict[str, Any]:
    file = tmp_path / f"script{len(list(tmp_path.iterdir()))}.py"
    file.write_text(text, "utf-8")
    command = {"command": [sys.executable, str(file)]}
    return {"adapter": "exec", "settings": command, "timeout": "5s"} | channel


async def test_every_stage_of_the_daemon_works_under_its_own_role(
    dsn: str, connection: engine.Connection, tmp_path: Path
) -> None:
    channels = {
        "bin": {"adapter": "sink", "timeout": "5s"},
        "flaky": script(tmp_path, "raise SystemExit(75)", retry={"schedule": ["50ms"]}),
        "broken": script(tmp_path, "raise SystemExit(78)"),
        "endless": script(tmp_path, "import time; time.sleep(7)"),
    }

    async def statuses() -> set[tuple[str, str, int]]:
        return {tuple(row) for row in await connection.fetch(STATUSES)}

    async def never_called() -> set[str]:
        return STAGES - {row[0] for row in await connection.fetch(CALLED)}

    async with logins.login(dsn, "chimeway_daemon") as own:
        await connection.execute(f"alter role {urlsplit(own).username} set track_functions = 'all'")
        async with running.running(own, channels, name="one", lease="10s") as first:
            for channel in channels:
                await engine.insert(connection, channel=channel)
            ended = {("bin", "succeeded", 1), ("flaky", "cancelled", 1)}
            await running.eventually(
                statuses, ended | {("broken", "pending", 1), ("endless", "dispatched", 1)}
            )
            await first.stop(SIGKILL)
        async with running.running(own, channels, name="one", lease="10s") as second:
            await second.said("leases_rescued")
            await running.eventually(never_called, set[str]())
            stopped = await second.stop()

    assert stopped.exit_code == 0
    assert {"sweep_failed", "record_failed", "daemon_failed", "database_lost"}.isdisjoint(
        stopped.events()
    )


async def test_what_outages_and_locks_ask_for_is_the_daemons_too(
    dsn: str, connection: engine.Connection
) -> None:
    await engine.configure(connection)
    delivery = await engine.claim_one(connection)
    async with logins.session(dsn, "chimeway_daemon") as daemon:
        rows = await daemon.fetch(
            "select * from chimeway.record_unlocked('d1', $1, $2, $3, $4, $4, $5, $6, $5, $5, $7)",
            [delivery.delivery_id],
            [delivery.claim_id],
            ["succeeded"],
            [0.0],
            *[[None]] * 3,
        )
        await daemon.fetch("select * from chimeway.find_unheard(1, '{}', '0 s')")

    assert [row["verdict"] for row in rows] == ["applied"]


@pytest.mark.parametrize("verb", ["select * from", "delete from", "truncate"])
async def test_daemon_reaches_no_table_past_its_functions(dsn: str, verb: str) -> None:
    reached = []
    async with logins.session(dsn, "chimeway_daemon") as daemon:
        tables = [
            row[0]
            for row in await daemon.fetch(
                "select oid::regclass::text from pg_class "
                "where relnamespace = 'chimeway'::regnamespace and relkind = 'r'"
            )
        ]
        for table in tables:
            try:
                await daemon.execute(f"{verb} {table}")
                reached.append(table)
            except asyncpg.InsufficientPrivilegeError:
                pass

    may_read = ["chimeway.schema_migrations"] if verb.startswith("select") else []
    assert len(tables) > 5
    assert reached == may_read
