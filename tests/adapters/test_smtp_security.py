"""The smtp adapter's way to the relay: TLS, certificates, passwords."""

import ssl
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme
from mailing import LONG, mail_to, smtp
from relay import Offers, Verb, relay
from structlog.testing import capture_logs

from chimewayd.adapters import make
from chimewayd.models import Delivery, Misconfigured, Succeeded

pytestmark = pytest.mark.anyio

PASSWORD = "c4nary-password"
LOGIN: Mapping[str, Any] = {"username": "shop", "password": PASSWORD}


class Authority:
    """An authority that lives as long as a test, and a certificate of it."""

    def __init__(self, folder: Path, *names: str) -> None:
        authority = trustme.CA()
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*names).configure_cert(self.server)
        authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        self.settings: Mapping[str, Any] = {"ca_file": str(folder / "ca.pem")}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "localhost")


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_connection_is_protected_before_the_password_is_sent(
    delivery: Delivery, authority: Authority, tls: str
) -> None:
    offers = Offers(tls=authority.server, is_implicit=tls == "implicit", logins={"shop": PASSWORD})
    async with (
        relay(offers) as smarthost,
        smtp(smarthost.port, tls=tls, **LOGIN, **authority.settings) as adapter,
    ):
        outcome = await adapter.deliver(mail_to(delivery))

    assert isinstance(outcome, Succeeded)
    assert (smarthost.mails[0].is_encrypted, smarthost.mails[0].login) == (True, "shop")
    begin = ["EHLO", "STARTTLS", "EHLO", "AUTH"] if tls == "starttls" else ["EHLO", "AUTH"]
    assert smarthost.verbs()[: len(begin)] == begin


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_certificate_of_an_unknown_authority_is_refused(
    delivery: Delivery, authority: Authority, tls: str
) -> None:
    offers = Offers(tls=authority.server, is_implicit=tls == "implicit")

    async with relay(offers) as smarthost, smtp(smarthost.port, tls=tls) as adapter:
        outcome = await adapter.deliver(mail_to(delivery))

    assert isinstance(outcome, Misconfigured)
    assert "certificate was refused" in (outcome.detail or "")
    assert smarthost.mails == []


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_certificate_of_another_host_is_refused(
    delivery: Delivery, tmp_path: Path, tls: str
) -> None:
    other = Authority(tmp_path, "elsewhere.example.org")
    offers = Offers(tls=other.server, is_implicit=tls == "implicit")

    async with (
        relay(offers) as smarthost,
        smtp(smarthost.port, tls=tls, **other.settings) as adapter,
    ):
        outcome = await adapter.deliver(mail_to(delivery))

    assert isinstance(outcome, Misconfigured)
    assert smarthost.mails == []


async def test_unchecked_certificate_is_taken_where_that_is_said(
    delivery: Delivery, authority: Authority
) -> None:
    async with (
        relay(Offers(tls=authority.server)) as smarthost,
        smtp(smarthost.port, tls="starttls", verify_tls=False) as adapter,
    ):
        outcome = await adapter.deliver(mail_to(delivery))

    assert isinstance(outcome, Succeeded)
    assert smarthost.mails[0].is_encrypted


def test_way_without_tls_is_told_at_the_start() -> None:
    settings = {"host": "relay.example.org", "tls": "none", "from": "a@example.org"}

    with capture_logs() as events:
        make("email", "smtp", settings, LONG)

    assert [event["event"] for event in events] == ["channel_unsafe"]
    assert events[0]["setting"] == "tls"


async def test_relay_that_offers_no_starttls_gets_nothing(delivery: Delivery) -> None:
    async with (
        relay(Offers(logins={"shop": PASSWORD})) as smarthost,
        smtp(smarthost.port, tls="starttls", **LOGIN) as adapter,
    ):
        outcome = await adapter.deliver(mail_to(delivery))

    assert isinstance(outcome, Misconfigured)
    assert smarthost.verbs() == ["EHLO"]


async def test_wrong_password_is_tried_once(delivery: Delivery) -> None:
    async with (
        relay(Offers(logins={"shop": PASSWORD})) as smarthost,
        smtp(smarthost.port, username="shop", password="c4nary-wrong") as adapter,
    ):
        outcome = await adapter.deliver(mail_to(delivery))

    assert isinstance(outcome, Misconfigured)
    assert outcome.status_code == 535
    assert smarthost.verbs().count("AUTH") == 1
    assert "c4nary" not in repr(outcome)


@pytest.mark.parametrize("sent", [PASSWORD, f"\0shop\0{PASSWORD}"])
async def test_encoded_password_that_the_relay_repeats_is_not_kept(
    delivery: Delivery, sent: str
) -> None:
    encoded = b64encode(sent.encode()).decode()

    async with relay(Offers(logins={"shop": PASSWORD})) as smarthost:
        smarthost.script(Verb.AUTH, f"501 cannot read {encoded}")
        async with smtp(smarthost.port, **LOGIN) as adapter:
            outcome = await adapter.deliver(mail_to(delivery))

    assert outcome.response == "cannot read [redacted]"
