"""`chimewayd doctor --channels`: each provider is reached for, and nothing is sent to any."""

import json
import socket
from typing import Any

import engine
import pytest
from commands import chimewayd
from relay import Offers, relay

pytestmark = pytest.mark.anyio


async def doctor(dsn: str, adapter: str, **settings: object) -> list[tuple[str, str]]:
    """Return level and words of what is found about the one channel."""
    channels = {"one": {"adapter": adapter, "settings": settings, "timeout": "5s"}}
    environment = {"CHIMEWAYD_DSN": dsn, "CHIMEWAYD_CHANNELS": json.dumps(channels)}
    ended = await chimewayd("doctor", "--channels", "--json", environment=environment)
    found: list[dict[str, Any]] = ended.document["findings"]
    told = [(each["level"], each["what"]) for each in found if each["check"] == "to one"]
    assert ended.exit_code == int(any(level == "fault" for level, _ in told)), found
    return told


def mail(port: int, **more: object) -> dict[str, object]:
    return {"host": "127.0.0.1", "port": port, "from": "a@example.org", "tls": "none", **more}


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


async def test_a_relay_that_lets_us_in_is_well_and_gets_no_mail(dsn: str) -> None:
    async with relay(Offers(logins={"ada": "secret"})) as smarthost:
        found = await doctor(dsn, "smtp", **mail(smarthost.port, username="ada", password="secret"))

    assert found == [("ok", f"127.0.0.1:{smarthost.port} answers")]
    assert smarthost.mails == []


async def test_a_relay_that_refuses_the_password_is_a_fault_without_the_password(dsn: str) -> None:
    async with relay(Offers(logins={"ada": "secret"})) as smarthost:
        ((level, said),) = await doctor(
            dsn, "smtp", **mail(smarthost.port, username="ada", password="wr0ng-w0rd")
        )

    assert level == "fault"
    assert "535" in said
    assert "wr0ng" not in said


async def test_a_relay_without_starttls_is_a_fault(dsn: str) -> None:
    async with relay() as smarthost:
        ((level, said),) = await doctor(dsn, "smtp", **mail(smarthost.port, tls="starttls"))

    assert (level, "does not offer STARTTLS" in said) == ("fault", True)


async def test_a_relay_that_is_not_there_and_a_name_that_does_not_resolve_are_faults(
    dsn: str,
) -> None:
    ((refused, _),) = await doctor(dsn, "smtp", **mail(closed_port()))
    ((unknown, said),) = await doctor(
        dsn, "smtp", **{"host": "relay.invalid", "from": "a@example.org"}
    )

    assert (refused, unknown) == ("fault", "fault")
    assert "does not resolve" in said


async def test_hosts_of_recent_recipients_are_asked_for_their_head(
    dsn: str, connection: engine.Connection
) -> None:
    await engine.configure(connection, "one")
    nobody = f"http://127.0.0.1:{closed_port()}/hook"
    for recipient in (nobody, nobody + "/again", "http://[broken/"):
        delivery = await engine.claim_one(connection, channel="one", recipient=recipient)
        await engine.record(connection, delivery)

    inside = await doctor(dsn, "webhook")
    ((level, said),) = await doctor(dsn, "webhook", allow_networks=["127.0.0.0/8"])

    assert [level for level, _ in inside] == ["fault"]
    assert (level, "127.0.0.1" in said) == ("fault", True)


async def test_a_channel_without_a_provider_and_one_without_recipients_are_told(dsn: str) -> None:
    assert await doctor(dsn, "sink") == [("ok", "adapter sink has nobody to reach")]
    ((level, _),) = await doctor(dsn, "webhook")
    assert level == "unknown"
