"""Certificates of receivers and of ours, with a real TLS server."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization as form
from structlog.testing import capture_logs

from chimewayd.adapters import make
from chimewayd.errors import ConfigError
from chimewayd.log import Event
from chimewayd.models import Delivery, Outcome, Succeeded, Temporary
from chimewayd.testing.receiver import HERE, receiver

pytestmark = pytest.mark.anyio

LONG = timedelta(seconds=10)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return str(tmp_path / "ca.pem")


@pytest.fixture
def server(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@contextmanager
def identity(authority: trustme.CA, folder: Path) -> Iterator[dict[str, str]]:
    issued = authority.issue_cert("us@client.example")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    issued.cert_chain_pems[0].write_to_path(folder / "certificate.pem")
    yield {
        "client_key": str(folder / "key.pem"),
        "client_certificate": str(folder / "certificate.pem"),
    }


async def attempt(delivery: Delivery, server: ssl.SSLContext, **settings: object) -> Outcome:
    async with (
        receiver(server) as hooks,
        make("hooks", "webhook", {**HERE, **settings}, LONG) as adapter,
    ):
        return await adapter.deliver(delivery._replace(recipient=hooks.url))


async def test_certificate_of_an_unknown_authority_is_refused(
    delivery: Delivery, server: ssl.SSLContext
) -> None:
    outcome = await attempt(delivery, server)

    assert isinstance(outcome, Temporary)
    assert outcome.detail is not None
    assert outcome.detail.endswith("the certificate was refused")


async def test_certificate_of_the_channels_authority_is_accepted(
    delivery: Delivery, server: ssl.SSLContext, ca_file: str
) -> None:
    assert isinstance(await attempt(delivery, server, ca_file=ca_file), Succeeded)


async def test_certificate_of_another_host_is_refused(
    delivery: Delivery, authority: trustme.CA, ca_file: str
) -> None:
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("elsewhere.example").configure_cert(server)

    assert isinstance(await attempt(delivery, server, ca_file=ca_file), Temporary)


async def test_receiver_that_asks_for_our_certificate_gets_it(
    delivery: Delivery,
    authority: trustme.CA,
    server: ssl.SSLContext,
    ca_file: str,
    tmp_path: Path,
) -> None:
    server.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(server)

    with identity(authority, tmp_path) as ours:
        with_it = await attempt(delivery, server, ca_file=ca_file, **ours)
        without_it = await attempt(delivery, server, ca_file=ca_file)

    assert isinstance(with_it, Succeeded)
    assert not isinstance(without_it, Succeeded)


async def test_unchecked_certificate_is_accepted_and_said_loudly(
    delivery: Delivery, server: ssl.SSLContext
) -> None:
    with capture_logs() as events:
        outcome = await attempt(delivery, server, verify_tls=False)

    assert isinstance(outcome, Succeeded)
    assert [(line["event"], line["log_level"], line["setting"]) for line in events] == [
        (Event.CHANNEL_UNSAFE, "warning", "verify_tls")
    ]


def test_key_of_another_certificate_stops_the_start(authority: trustme.CA, tmp_path: Path) -> None:
    with identity(authority, tmp_path) as ours:
        authority.issue_cert("b@client.example").private_key_pem.write_to_path(ours["client_key"])
        with pytest.raises(ConfigError) as caught:
            make("hooks", "webhook", ours, LONG)

    assert caught.value.setting == "channels.hooks.settings.client_certificate"


def test_key_with_a_passphrase_stops_the_start_instead_of_asking(
    authority: trustme.CA, tmp_path: Path
) -> None:
    with identity(authority, tmp_path) as ours:
        key = form.load_pem_private_key(Path(ours["client_key"]).read_bytes(), None)
        sealed = key.private_bytes(
            form.Encoding.PEM, form.PrivateFormat.PKCS8, form.BestAvailableEncryption(b"sesame")
        )
        Path(ours["client_key"]).write_bytes(sealed)
        with pytest.raises(ConfigError) as caught:
            make("hooks", "webhook", ours, LONG)

    assert caught.value.setting == "channels.hooks.settings.client_certificate"
