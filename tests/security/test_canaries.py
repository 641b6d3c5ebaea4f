"""Secrets are planted in every place that holds one, everything goes wrong, and nothing sings.

What was written meanwhile is searched: each table but the payloads themselves, the log at its most
talkative, the output of commands, metrics, Postgres's own log and activity, and what `ps` shows.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import asyncpg
import engine
import pytest
import running
from canaries import (
    HTTP_TOKEN,
    PAYLOAD,
    log_of,
    talkative_server,
    told_by_commands,
    told_by_the_database,
    told_by_the_endpoint,
)

from chimewayd import embedded, migrate
from chimewayd.testing.receiver import HERE, Answer, Fault, receiver

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(150)]

PASSWORD = "canary-password-7Zq"
SIGNING = "whsec_Y2FuYXJ5LXNpZ25pbmctc2VjcmV0LW9mLTMyLWJ5dGU="
TOKEN = "canary-token-9Kx"
COMMAND_KEY = "canary-key-4Lm"
QUERY = "canary-query-8Hs"
SECRETS = (PASSWORD, SIGNING, SIGNING[6:], TOKEN, COMMAND_KEY, HTTP_TOKEN)


@pytest.fixture
def cluster() -> Iterator[embedded.Server]:
    with talkative_server() as server:
        yield server


def channels(tmp_path: Path) -> dict[str, dict[str, Any]]:
    gossip = tmp_path / "gossip.py"
    gossip.write_text(
        "import os, sys\n"
        "said = os.environ['API_KEY'] + ' Authorization: Bearer ' + os.environ['API_KEY']\n"
        "print(said, file=sys.stderr)\n"
        "print('{\"detail\": \"' + said + '\"}')\n"
        "sys.exit(75)\n",
        "utf-8",
    )
    once = {"retry": {"max_attempts": 1}}
    hooks = {
        **HERE,
        "secret": SIGNING,
        "headers": {"Authorization": f"Bearer {TOKEN}", "X-Api-Key": TOKEN},
    }
    return {
        "hooks": {"adapter": "webhook", "settings": hooks, "timeout": "2s"} | once,
        "gossip": {
            "adapter": "exec",
            "settings": {
                "command": [sys.executable, str(gossip)],
                "environment": {"API_KEY": COMMAND_KEY},
            },
        }
        | once,
        "log": {"adapter": "log"},
    }


async def test_no_planted_secret_is_found_in_anything_that_was_written(
    cluster: embedded.Server, tmp_path: Path, unused_port: int
) -> None:
    connection = await asyncpg.connect(cluster.dsn)
    await migrate.apply(connection)
    await connection.execute(
        f"create role app login password '{PASSWORD}' in role chimeway_daemon, chimeway_operator"
    )
    mark = len(log_of(cluster))  # the statement above is ours, not the system's
    dsn = cluster.dsn.replace("postgres@", f"app:{PASSWORD}@", 1)

    async with receiver() as hooks:
        echo = f"you sent {TOKEN} and {SIGNING}, password={PASSWORD}".encode()
        hooks.script("/echo", Answer(status=400, body=echo))
        hooks.script("/away", Answer(status=302, headers={"Location": f"/x?token={TOKEN}"}))
        hooks.script("/hang", Answer(fault=Fault.HANG_BEFORE_ANSWER))
        hooks.script("/cut", Answer(fault=Fault.CLOSE_IN_BODY, body=TOKEN.encode()))
        recipients = [
            f"{hooks.url}{path}?key={QUERY}" for path in ("/echo", "/away", "/hang", "/cut")
        ]
        recipients += [f"http://u:{QUERY}@127.0.0.1:1/", f"http://127.0.0.1:1/?key={QUERY}"]
        async with running.running(
            dsn,
            channels(tmp_path),
            log_level="debug",
            http_listen=f"127.0.0.1:{unused_port}",
            http_token=HTTP_TOKEN,
        ) as daemon:
            rows = [("hooks", recipient) for recipient in recipients]
            rows += [("gossip", "ada"), ("log", "ada")]
            ids = [
                str(
                    await engine.insert(
                        connection,
                        channel=channel,
                        recipient=recipient,
                        payload=json.dumps({"text": PAYLOAD, "token": PAYLOAD}),
                    )
                )
                for channel, recipient in rows
            ]
            await daemon.said("attempt_recorded", len(rows))
            with anyio.move_on_after(1):
                await connection.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'"
                )
            await daemon.said("listener_connected", 2)
            shown = await anyio.Path(f"/proc/{daemon.process.pid}/cmdline").read_text("utf-8")
            endpoint = await told_by_the_endpoint(unused_port)
            commands = await told_by_commands(dsn, [ids[0], ids[-2]])
            database = await told_by_the_database(connection)
            await daemon.stop()
    await connection.close()
    log = "\n".join([*map(json.dumps, daemon.lines), *daemon.other_output])
    places = {
        "the database": database,
        "the daemon's log": log,
        "the commands": commands,
        "the endpoint": endpoint,
        "a list of processes": shown,
        "the server's log": log_of(cluster)[mark:],
    }

    assert {
        place: [secret for secret in SECRETS if secret in text] for place, text in places.items()
    } == {place: [] for place in places}
    # A payload is the database's to keep, a recipient's query too; nobody else repeats them.
    elsewhere = ("the daemon's log", "the endpoint", "a list of processes")
    assert [
        place for place in elsewhere if PAYLOAD in places[place] or QUERY in places[place]
    ] == []
    assert "[redacted]" in database
    assert all(len(text) > 20 for text in places.values())
