"""What opens a door is refused, or said aloud at each start."""

import json

import engine
import pytest
import running
from commands import chimewayd
from provider_kinds import PROVIDERS

pytestmark = pytest.mark.anyio

SMTP = {"host": "relay.example.org", "from": "shop@example.org"}


async def test_certificates_that_are_not_checked_are_told_for_each_channel_at_the_start(
    dsn: str, connection: engine.Connection
) -> None:
    await engine.check_invariants(connection)
    adapters = {name: given for name, (given, _) in PROVIDERS.items()} | {"smtp": SMTP}
    checked = {name: {"adapter": name, "settings": given} for name, given in adapters.items()}
    open_ = {
        f"open-{name}": {"adapter": name, "settings": {**given, "verify_tls": False}}
        for name, given in adapters.items()
    }

    async with running.running(dsn, checked | open_) as daemon:
        told = daemon.of("channel_unsafe", level="warning", setting="verify_tls")
        await daemon.stop()

    assert {line["channel"] for line in told} == set(open_)
    assert len(daemon.of("channel_unsafe")) == len(open_)


async def test_check_of_the_settings_tells_what_is_unsafe_beside_what_it_prints() -> None:
    apprise = {"urls": {"ops": "jsons://me:canary@example.org/x?verify=no"}}
    channels = {
        "hooks": {"adapter": "webhook", "settings": {"verify_tls": False}},
        "tail": {"adapter": "apprise", "settings": apprise},
    }

    ended = await chimewayd(
        "config", "check", environment={"CHIMEWAYD_CHANNELS": json.dumps(channels)}
    )

    assert (ended.exit_code, ended.stdout) == (0, "right: hooks, tail\n")
    assert ended.stderr.count("channel_unsafe") == len(channels)
    assert "urls.ops" in ended.stderr
    assert "canary" not in ended.stderr


@pytest.mark.parametrize("address", ["0.0.0.0:{}", "[::]:{}", "192.0.2.1:{}"])
async def test_address_that_others_reach_is_refused_without_a_token(
    unused_port: int, address: str
) -> None:
    listen = address.format(unused_port)
    environment = {
        "CHIMEWAYD_DSN": "postgresql://127.0.0.1:1/nowhere",  # where a start would end at once
        "CHIMEWAYD_CHANNELS": json.dumps({"bin": {"adapter": "sink"}}),
        "CHIMEWAYD_HTTP_LISTEN": listen,
    }

    ended = await chimewayd("run", environment=environment)

    assert ended.exit_code == 78
    assert f"{listen} can be reached from other machines, and no http_token is set" in ended.stderr
    assert "or set http_token" in ended.stderr
    assert "Traceback" not in ended.stderr
