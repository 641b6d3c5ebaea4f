"""Each provider repeats what it was shown, or fails, and nothing of it is found anywhere."""

import json
from pathlib import Path

import anyio
import asyncpg
import engine
import pytest
import running
from canaries import (
    HTTP_TOKEN,
    log_of,
    talkative_server,
    told_by_commands,
    told_by_the_database,
    told_by_the_endpoint,
)
from google_stand_in import service_account
from provider_canaries import PLANTED, Way, providers

from chimewayd import migrate

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(150)]

JUDGED = {"attempt_recorded", "channel_paused", "breaker_opened"}
"""One of them tells how a call ended, whoever's fault it was."""


EXPLAINED = ("slack-repeats", "discord-url-repeats", "smtp-repeats", "letters-missing")
"""The command prints what the function says, which is asked for each: these will do."""


async def test_no_provider_makes_a_secret_come_to_light(tmp_path: Path, unused_port: int) -> None:
    with talkative_server() as cluster:
        connection = await asyncpg.connect(cluster.dsn)
        await migrate.apply(connection)
        mark = len(log_of(cluster))
        async with (
            providers(tmp_path) as stand,
            running.running(
                cluster.dsn,
                stand.channels,
                log_level="debug",
                http_listen=f"127.0.0.1:{unused_port}",
                http_token=HTTP_TOKEN,
            ) as daemon,
        ):
            ids = {
                channel: str(
                    await engine.insert(
                        connection,
                        channel=channel,
                        recipient=recipient,
                        payload=json.dumps(payload),
                    )
                )
                for channel, (recipient, payload) in stand.deliveries.items()
            }

            async def judged() -> set[str]:
                return {line["channel"] for line in daemon.lines if line["event"] in JUDGED}

            await running.eventually(judged, set(stand.channels))
            told = {
                "a list of processes": await anyio.Path(
                    f"/proc/{daemon.process.pid}/cmdline"
                ).read_text("utf-8"),
                "the endpoint": await told_by_the_endpoint(unused_port),
                "the commands": await told_by_commands(
                    cluster.dsn,
                    [ids[one] for one in EXPLAINED],
                    {"CHIMEWAYD_CHANNELS": json.dumps(stand.channels)},
                ),
                "the database": await told_by_the_database(connection),
            }
            await daemon.stop()
        await connection.close()
        # Producers' statements are written there whole, and hold the payloads.
        told["the server's log"] = "\n".join(
            line
            for line in log_of(cluster)[mark:].splitlines()
            if "Hello" not in line and '"data"' not in line
        )
    told["the daemon's log"] = "\n".join([*map(json.dumps, daemon.lines), *daemon.other_output])

    key = json.loads(service_account(""))["private_key"].splitlines()[2]
    secrets = {**PLANTED, "fcm key": key, "http token": HTTP_TOKEN}
    secrets |= {f"made for call {n}": text for n, text in enumerate(stand.parrot.shown)}
    assert {
        place: [name for name, secret in secrets.items() if secret in text]
        for place, text in told.items()
    } == {place: [] for place in told} | {
        "the commands": ["smtp user"]  # a setting like any other in `config show`
    }
    # What nobody repeated could not have been found.
    heard = " ".join(stand.parrot.said)
    kept_back = {"template data", "smtp user", "smtp password", "smtp login", "fcm key"}
    assert [
        name
        for name, secret in PLANTED.items()
        if name not in kept_back | {"webpush"} and secret not in heard
    ] == []
    assert len(stand.parrot.shown) > 2
    assert told["the database"].count("[redacted]") > len(Way)
