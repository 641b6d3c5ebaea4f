"""The smtp adapter and Postfix, which is what most relays are or are like."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from mailing import mail_to, smtp
from postfix import SIZE_LIMIT_BYTES, Postfix, postfix

from chimewayd.adapters.base import Adapter
from chimewayd.models import Bounced, Delivery, Misconfigured, Outcome, Permanent, Succeeded

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[Postfix]:
    """One server for all: each test counts the mails that it adds."""
    async with postfix() as running:
        yield running


def through(server: Postfix, **settings: Any) -> Adapter:
    return smtp(server.port, tls="starttls", ca_file=server.ca_file, **settings)


def mails(server: Postfix) -> int:
    new = server.folder / "mail/ada/new"
    return len(list(new.iterdir())) if new.is_dir() else 0


async def test_mail_reaches_the_mailbox(server: Postfix, delivery: Delivery) -> None:
    before = mails(server)

    async with through(server) as adapter:
        outcome = await adapter.deliver(
            mail_to(delivery, subject="Grüße", text=".\nHällo\n.\n", html="<p>Hällo</p>")
        )
    mail = await server.mail(before + 1)

    assert isinstance(outcome, Succeeded)
    assert outcome.provider_message_id
    assert f"{outcome.provider_message_id}: message-id=" in server.log
    assert mail["Message-ID"] == f"<{delivery.delivery_id}@example.org>"
    assert mail["Subject"] == "Grüße"
    assert "with ESMTPS" in mail["Received"]
    body = mail.get_body(("plain",))
    assert body is not None
    assert body.get_content().splitlines() == [".", "Hällo", "."]


@pytest.mark.parametrize(
    ("recipient", "kind", "code"),
    [
        ("nobody@example.org", Bounced, 550),
        ("ada@elsewhere.example", Misconfigured, 454),
    ],
)
async def test_refusal_of_postfix_is_understood(
    server: Postfix, delivery: Delivery, recipient: str, kind: type[Outcome], code: int
) -> None:
    async with through(server) as adapter:
        outcome = await adapter.deliver(mail_to(delivery, recipient))

    assert type(outcome) is kind
    assert outcome.status_code == code


async def test_report_of_postfix_names_the_delivery(server: Postfix, delivery: Delivery) -> None:
    before = mails(server)

    async with through(server, envelope_from="ada@example.org", notify=["success"]) as adapter:
        await adapter.deliver(mail_to(delivery))
    await server.mail(before + 2)  # itself and the report, in either order

    assert f"Original-Envelope-Id: {delivery.delivery_id}" in server.mailbox


async def test_address_beyond_ascii_reaches_its_mailbox(
    server: Postfix, delivery: Delivery
) -> None:
    before = mails(server)

    async with through(server) as adapter:
        outcome = await adapter.deliver(mail_to(delivery, "ädä@example.org"))
    mail = await server.mail(before + 1)

    assert isinstance(outcome, Succeeded)
    assert mail["To"] == "ädä@example.org"


async def test_mail_beyond_the_servers_limit_is_not_sent(
    server: Postfix, delivery: Delivery
) -> None:
    async with through(server) as adapter:
        outcome = await adapter.deliver(mail_to(delivery, text="x\n" * SIZE_LIMIT_BYTES))

    assert isinstance(outcome, Permanent)
    assert f"the relay takes {SIZE_LIMIT_BYTES}" in (outcome.detail or "")


async def test_many_mails_share_few_connections(server: Postfix, delivery: Delivery) -> None:
    outcomes, connects = [], server.log.count(": connect from")

    async def one(adapter: Adapter) -> None:
        outcomes.append(await adapter.deliver(mail_to(delivery)))

    async with through(server, connections=4) as adapter, anyio.create_task_group() as calls:
        for _ in range(40):
            calls.start_soon(one, adapter)

    assert [type(outcome) for outcome in outcomes] == [Succeeded] * 40
    assert server.log.count(": connect from") == connects + 4
