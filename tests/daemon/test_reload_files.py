"""SIGHUP on the real daemon: files that settings name are read again, also under the same name."""

import ssl
from pathlib import Path
from signal import SIGHUP

import pytest
import trustme
from engine import Connection, insert
from relay import Offers, relay
from running import Daemon, running

from chimewayd.testing.receiver import HERE, Receiver, receiver

pytestmark = pytest.mark.anyio

MAIL = '{"subject": "Hi", "text": "Hello"}'


def serving(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def trust(authority: trustme.CA, folder: Path) -> str:
    """Write the one file of authorities, in place of what was in it."""
    authority.cert_pem.write_to_path(folder / "ca.pem")
    return str(folder / "ca.pem")


def identify(authority: trustme.CA, folder: Path) -> dict[str, str]:
    """Write our certificate and its key, in place of those before."""
    ours = authority.issue_cert("us@client.example")
    ours.private_key_pem.write_to_path(folder / "key.pem")
    ours.cert_chain_pems[0].write_to_path(folder / "certificate.pem")
    return {
        "client_key": str(folder / "key.pem"),
        "client_certificate": str(folder / "certificate.pem"),
    }


async def reload(daemon: Daemon) -> dict[str, object]:
    count = len(daemon.of("config_reloaded"))
    daemon.signal(SIGHUP)
    return (await daemon.said("config_reloaded", count + 1))[-1]


async def outcome(daemon: Daemon, delivery_id: object) -> str:
    return str((await daemon.said("attempt_recorded", delivery_id=str(delivery_id)))[0]["outcome"])


async def test_renewed_authority_of_a_webhook_is_trusted_after_a_reload(
    dsn: str, connection: Connection, tmp_path: Path
) -> None:
    old, new = trustme.CA(), trustme.CA()
    settings = {**HERE, "ca_file": trust(old, tmp_path)}
    channels: dict[str, dict[str, object]] = {
        "hooks": {"adapter": "webhook", "settings": settings},
        "bin": {"adapter": "sink"},
    }
    async with receiver(serving(new)) as renewed, running(dsn, channels) as daemon:
        trust(new, tmp_path)
        before = await insert(connection, channel="hooks", recipient=renewed.url)
        refused = await outcome(daemon, before)
        said = await reload(daemon)
        after = await insert(connection, channel="hooks", recipient=renewed.url)
        accepted = await outcome(daemon, after)

    assert (refused, accepted) == ("temporary", "succeeded")
    assert (said["changed"], said["reopened"]) == ([], ["hooks"])


async def test_renewed_certificate_of_ours_is_shown_after_a_reload(
    dsn: str, connection: Connection, tmp_path: Path
) -> None:
    theirs, old, new = trustme.CA(), trustme.CA(), trustme.CA()
    context = serving(theirs)
    context.verify_mode = ssl.CERT_REQUIRED
    new.configure_trust(context)
    settings = {**HERE, "ca_file": trust(theirs, tmp_path), **identify(old, tmp_path)}
    channels = {"hooks": {"adapter": "webhook", "settings": settings}}
    async with receiver(context) as hooks, running(dsn, channels) as daemon:
        identify(new, tmp_path)
        before = await insert(connection, channel="hooks", recipient=hooks.url)
        refused = await outcome(daemon, before)
        await reload(daemon)
        after = await insert(connection, channel="hooks", recipient=hooks.url)
        accepted = await outcome(daemon, after)

    assert refused != "succeeded"
    assert accepted == "succeeded"


async def test_renewed_authority_of_a_relay_is_trusted_after_a_reload(
    dsn: str, connection: Connection, tmp_path: Path
) -> None:
    old, new = trustme.CA(), trustme.CA()
    offers = Offers(tls=serving(new))
    async with relay(offers) as smarthost:
        settings = {
            "host": "127.0.0.1",
            "port": smarthost.port,
            "from": "shop@example.org",
            "ca_file": trust(old, tmp_path),
        }
        channels = {"mail": {"adapter": "smtp", "settings": settings}}
        async with running(dsn, channels) as daemon:
            trust(new, tmp_path)
            await insert(connection, channel="mail", recipient="a@example.org", payload=MAIL)
            (paused,) = await daemon.said("channel_paused")
            await reload(daemon)
            await connection.execute("select chimeway.resume_channel('mail', 'ada')")
            await daemon.said("attempt_recorded", outcome="succeeded")

    assert "certificate" in str(paused["reason"])


async def test_renewed_secret_of_a_credentials_file_is_used_after_a_reload(
    dsn: str, connection: Connection, tmp_path: Path, hooks: Receiver
) -> None:
    secret = tmp_path / "channels__team__settings__token"
    secret.write_text("xoxb-old")
    channels = {"team": {"adapter": "slack", "settings": {**HERE, "base_url": hooks.url}}}
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    async with running(dsn, channels, environment) as daemon:
        for text in ("xoxb-old", "xoxb-new"):
            secret.write_text(text)
            await reload(daemon)
            delivery_id = await insert(
                connection, channel="team", recipient="C012", payload='{"text": "Hi"}'
            )
            await daemon.said("attempt_recorded", delivery_id=str(delivery_id))

    used = [request.headers["Authorization"] for request in hooks.requests]
    assert used == ["Bearer xoxb-old", "Bearer xoxb-new"]


async def test_file_that_has_become_useless_leaves_the_old_certificate_in_force(
    dsn: str, connection: Connection, tmp_path: Path
) -> None:
    authority = trustme.CA()
    settings = {**HERE, "ca_file": trust(authority, tmp_path)}
    channels = {"hooks": {"adapter": "webhook", "settings": settings}}
    async with receiver(serving(authority)) as hooks, running(dsn, channels) as daemon:
        (tmp_path / "ca.pem").write_text("half a certifi")
        daemon.signal(SIGHUP)
        (refused,) = await daemon.said("config_refused")
        delivery_id = await insert(connection, channel="hooks", recipient=hooks.url)
        accepted = await outcome(daemon, delivery_id)

    assert "channels.hooks.settings.ca_file" in str(refused["reason"])
    assert accepted == "succeeded"
