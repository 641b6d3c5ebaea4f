"""The smtp adapter against a real SMTP server: what arrives, and how it got there."""

import pytest
from mailing import mail_to, smtp
from relay import Fault, Offers, Verb, relay

from chimewayd.models import Delivery, Permanent, Succeeded, Unavailable

pytestmark = pytest.mark.anyio


async def test_mail_arrives_with_its_headers_and_parts(delivery: Delivery) -> None:
    async with relay() as smarthost, smtp(smarthost.port, headers={"X-Shop": "1"}) as adapter:
        outcome = await adapter.deliver(
            mail_to(
                delivery,
                subject="Grüße",
                text="Hällo",
                html="<p>Hällo</p>",
                reply_to="Help <help@example.org>",
                headers={"In-Reply-To": "<1@example.org>"},
                attachments=[
                    {
                        "filename": "Rechnung ä.pdf",
                        "content_type": "application/pdf",
                        "content_base64": "JVBERg==",
                    }
                ],
                unsubscribe={"url": "https://example.org/u?t=1", "mailto": "u@example.org"},
            )
        )

    assert isinstance(outcome, Succeeded)
    (mail,) = smarthost.mails
    message = mail.message
    assert (mail.sender, mail.recipient) == ("shop@example.org", "ada@example.org")
    assert mail.content.isascii()
    assert {
        name: message[name] for name in message if not name.startswith(("Date", "Content"))
    } == {
        "From": "Shop <shop@example.org>",
        "To": "ada@example.org",
        "Subject": "Grüße",
        "Message-ID": f"<{delivery.delivery_id}@example.org>",
        "Reply-To": "Help <help@example.org>",
        "Auto-Submitted": "auto-generated",
        "X-Shop": "1",
        "In-Reply-To": "<1@example.org>",
        "List-Unsubscribe": "<https://example.org/u?t=1>, <mailto:u@example.org>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "MIME-Version": "1.0",
    }
    body, html = message.get_body(("plain",)), message.get_body(("html",))
    assert body is not None
    assert html is not None
    assert body.get_content() == "Hällo\r\n"
    assert html.get_content() == "<p>Hällo</p>\r\n"
    (attachment,) = message.iter_attachments()
    assert attachment.get_filename() == "Rechnung ä.pdf"
    assert attachment.get_content() == b"%PDF"


async def test_helo_name_is_said(delivery: Delivery) -> None:
    async with relay() as smarthost, smtp(smarthost.port, helo_name="app.example.org") as adapter:
        await adapter.deliver(mail_to(delivery))

    assert smarthost.commands[0] == "EHLO app.example.org"


async def test_host_without_a_full_name_says_its_address(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chimewayd.adapters.smtp.gethostname", lambda: "app")

    async with relay() as smarthost, smtp(smarthost.port) as adapter:
        await adapter.deliver(mail_to(delivery))

    assert smarthost.commands[0] == "EHLO [127.0.0.1]"


async def test_bounces_are_asked_for_where_the_relay_can_report_them(delivery: Delivery) -> None:
    bounces = "bounces+{delivery_id}@example.org"

    async with (
        relay(Offers(dsn=True)) as smarthost,
        smtp(smarthost.port, envelope_from=bounces, notify=["failure", "delay"]) as adapter,
    ):
        outcome = await adapter.deliver(mail_to(delivery, "a+da@example.org"))

    assert isinstance(outcome, Succeeded)
    (mail,) = smarthost.mails
    assert mail.sender == f"bounces+{delivery.delivery_id}@example.org"
    assert mail.mail_options[1:] == ["RET=HDRS", f"ENVID={delivery.delivery_id}"]
    assert mail.rcpt_options == ["NOTIFY=FAILURE,DELAY", "ORCPT=rfc822;a+2Bda@example.org"]


async def test_bounces_are_not_asked_for_elsewhere(delivery: Delivery) -> None:
    async with relay() as smarthost, smtp(smarthost.port) as adapter:
        await adapter.deliver(mail_to(delivery))

    assert [option.partition("=")[0] for option in smarthost.mails[0].mail_options] == ["SIZE"]


async def test_message_id_is_the_same_at_each_attempt(delivery: Delivery) -> None:
    async with (
        relay() as smarthost,
        smtp(smarthost.port, message_id_domain="m.example.org") as adapter,
    ):
        smarthost.script(Verb.DOT, Fault.HANG_UP, "250 OK")
        for _ in range(2):
            await adapter.deliver(mail_to(delivery))

    ids = [mail.message["Message-ID"] for mail in smarthost.mails]
    assert ids == [f"<{delivery.delivery_id}@m.example.org>"] * 2


async def test_address_beyond_ascii_goes_where_smtputf8_is_offered(delivery: Delivery) -> None:
    async with relay(Offers(smtputf8=True)) as smarthost, smtp(smarthost.port) as adapter:
        outcome = await adapter.deliver(mail_to(delivery, "ädä@exämple.org"))

    assert isinstance(outcome, Succeeded)
    (mail,) = smarthost.mails
    assert mail.recipient == "ädä@xn--exmple-cua.org"
    assert "SMTPUTF8" in mail.mail_options
    assert "To: ädä@xn--exmple-cua.org\r\n".encode() in mail.content


async def test_address_beyond_ascii_fails_for_good_where_it_is_not(delivery: Delivery) -> None:
    async with relay() as smarthost, smtp(smarthost.port) as adapter:
        outcome = await adapter.deliver(mail_to(delivery, "ädä@example.org"))

    assert isinstance(outcome, Permanent)
    assert "SMTPUTF8" in (outcome.detail or "")
    assert smarthost.verbs() == ["EHLO", "QUIT"]


async def test_domain_beyond_ascii_needs_nothing_of_the_relay(delivery: Delivery) -> None:
    async with relay() as smarthost, smtp(smarthost.port) as adapter:
        outcome = await adapter.deliver(mail_to(delivery, "ada@exämple.org"))

    assert isinstance(outcome, Succeeded)
    assert smarthost.mails[0].recipient == "ada@xn--exmple-cua.org"


async def test_mail_that_the_relay_calls_too_large_is_not_sent(delivery: Delivery) -> None:
    async with relay(Offers(size_bytes=1000)) as smarthost, smtp(smarthost.port) as adapter:
        outcome = await adapter.deliver(mail_to(delivery, text="x" * 1000))

    assert isinstance(outcome, Permanent)
    assert "the relay takes 1000" in (outcome.detail or "")
    assert smarthost.verbs() == ["EHLO", "QUIT"]


@pytest.mark.parametrize("text", [".", ".\n.", "a\n.\nb", "\n.\n\n", "a\r.\rb", "." * 1000])
async def test_no_line_of_a_body_ends_the_mail(delivery: Delivery, text: str) -> None:
    async with relay() as smarthost, smtp(smarthost.port) as adapter:
        outcome = await adapter.deliver(mail_to(delivery, text=text))

    assert isinstance(outcome, Succeeded)
    (mail,) = smarthost.mails
    body = mail.message.get_body(("plain",))
    assert body is not None
    assert body.get_content().splitlines() == text.splitlines()


@pytest.mark.parametrize("end", ["\r\n.\r\n", "\n.\n", "\r.\r", "\n.\r\n", "\r\n.\n"])
async def test_no_second_mail_is_smuggled_in(delivery: Delivery, end: str) -> None:
    second = f"{end}MAIL FROM:<evil@example.org>\r\nRCPT TO:<eve@example.org>\r\nDATA\r\n"

    async with relay() as smarthost, smtp(smarthost.port) as adapter:
        await adapter.deliver(mail_to(delivery, text=f"Hi{second}", html=second))

    assert len(smarthost.mails) == 1
    assert smarthost.verbs().count("MAIL") == 1


async def test_relay_whose_name_is_not_found_is_unavailable(delivery: Delivery) -> None:
    async with smtp(25, host="relay.invalid") as adapter:
        outcome = await adapter.deliver(mail_to(delivery))

    assert isinstance(outcome, Unavailable)
    assert "does not resolve" in (outcome.detail or "")
