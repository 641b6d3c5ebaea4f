"""Payloads, addresses and the mails that are made of them."""

import json
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import parseaddr

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chimewayd.adapters.mail_address import parse_address, parse_mailbox
from chimewayd.adapters.mail_message import POLICY, Letterhead, Mail, compose
from chimewayd.adapters.mail_payload import decode_attachments, parse_payload

ID = "01890a5d-ac96-774b-bcce-b302099a8057"
NOW = datetime(2026, 11, 27, tzinfo=UTC)
LETTERHEAD = Letterhead(
    sender=parse_mailbox("Shop <shop@example.org>"),
    envelope_from=None,
    reply_to=None,
    headers={},
    allowed_headers=("x-shop-*", "in-reply-to"),
    from_domains=frozenset({"example.org"}),
    message_id_domain="example.org",
)


def write(
    letterhead: Letterhead = LETTERHEAD, payload_from: str | None = None, **payload: object
) -> Mail:
    payload = {"subject": "Hi", "text": "Hello", "from": payload_from} | payload
    parsed = parse_payload(json.dumps(payload))
    attachments = decode_attachments(parsed.attachments, 2, 10)
    return compose(letterhead, parsed, attachments, parse_address("ada@example.org"), ID, NOW)


def read(mail: Mail) -> EmailMessage:
    message = message_from_bytes(mail.content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), max_size=120))
def test_any_name_of_a_sender_comes_back(name: str) -> None:
    quoted = name.replace("\\", r"\\").replace('"', r"\"")

    mail = write(payload_from=f'"{quoted}" <shop@example.org>')

    # The modern parser of the standard library adds blanks between the encoded words of a name.
    written = message_from_bytes(mail.content)["From"]
    shown, address = parseaddr(" ".join(written.split()))
    assert address == "shop@example.org"
    assert " ".join(str(make_header(decode_header(shown))).split()) == " ".join(name.split())


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), max_size=300))
def test_any_subject_comes_back_in_lines_that_are_short_enough(subject: str) -> None:
    mail = write(subject=subject)

    assert mail.content.isascii()
    assert all(len(line) <= 998 for line in mail.content.split(b"\r\n"))
    header, _, body = mail.content.partition(b"\r\n\r\n")
    assert header.count(b"\r\nSubject:") == 1
    assert body == b"Hello\r\n"
    if "=?" not in subject:
        assert "".join(read(mail)["Subject"].split()) == "".join(subject.split())


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=500))
def test_any_text_is_a_body(text: str) -> None:
    mail = write(text=text, html=text)

    body = read(mail).get_body(("plain",))
    assert body is not None
    assert mail.content.isascii()
    assert b"\n" not in mail.content.replace(b"\r\n", b"")
    wanted = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    assert body.get_content().replace("\r\n", "\n").removesuffix("\n").split("\n") == (
        wanted[:-1] if len(wanted) > 1 and not wanted[-1] else wanted
    )


@pytest.mark.parametrize(
    ("attachment", "problem"),
    [
        ({"filename": "../c4nary"}, "0.filename: must be a name without a folder"),
        ({"filename": "a\r\nb"}, "0.filename: holds a control"),
        ({"content_type": "c4nary"}, "0.content_type: must be a media type"),
        ({"content_type": "text/plain; x=c4nary"}, "0.content_type: must be a media type"),
        ({"content_type": "message/rfc822"}, "0.content_type: must be the type of one file"),
        ({"content_base64": "c4nary!"}, "0.content_base64: must be base64"),
        ({"content_base64": "eHh4eHh4eHh4eHh4"}, ": have more than 10 bytes together"),
    ],
)
def test_wrong_attachment_is_named(attachment: dict[str, str], problem: str) -> None:
    right = {"filename": "a.txt", "content_type": "text/plain", "content_base64": "eA=="}

    with pytest.raises(ValueError, match=r"^payload\.attachments") as caught:
        write(attachments=[right | attachment])

    assert str(caught.value).removeprefix("payload.attachments").removeprefix(".") == problem or (
        problem in str(caught.value)
    )
    assert "c4nary" not in str(caught.value)


def test_attachments_are_counted() -> None:
    right = {"filename": "a.txt", "content_base64": "eA=="}

    with pytest.raises(ValueError, match=r"^payload.attachments: are 3; the channel allows 2$"):
        write(attachments=[right] * 3)


@pytest.mark.parametrize(
    ("headers", "problem"),
    [
        ({"Bcc": "a@b"}, "Bcc is not a custom header"),
        ({"subject": "x"}, "subject is not a custom header"),
        ({"Content-Type": "x"}, "Content-Type is not a custom header"),
        ({"Resent-To": "a@b"}, "Resent-To is not a custom header"),
        ({"X-Other": "x"}, "X-Other is not one that the channel's allowed_headers lists"),
        ({"X-Shop-A": "a\r\nBcc: c4nary"}, "the value of X-Shop-A holds a control character"),
        ({"X-Shop-A\r\nBcc": "c4nary"}, "a header's name must be"),
        ({"X-Shop-A": ""}, "the value of X-Shop-A must have"),
        ({"X-Shop-A": "x" * 999}, "the value of X-Shop-A must have"),
    ],
)
def test_header_that_is_not_allowed_is_refused(headers: dict[str, str], problem: str) -> None:
    with pytest.raises(ValueError, match=r"^payload.headers: ") as caught:
        write(headers=headers)

    assert problem in str(caught.value)
    assert "c4nary" not in str(caught.value)


def test_header_of_the_payload_wins_over_the_channels() -> None:
    letterhead = Letterhead(
        sender=LETTERHEAD.sender,
        envelope_from=None,
        reply_to=None,
        headers={"X-Shop-A": "channel", "X-Shop-B": "channel"},
        allowed_headers=("x-shop-*",),
        from_domains=frozenset(),
        message_id_domain="example.org",
    )

    message = read(write(letterhead, headers={"x-shop-a": "payload"}))

    assert message.get_all("X-Shop-A") == ["payload"]
    assert message["X-Shop-B"] == "channel"


def test_sender_of_another_domain_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^payload.from: its domain is not one"):
        write(payload_from="boss@bank.example")


def test_long_words_of_headers_stay_whole() -> None:
    url = "https://example.org/" + "u" * 500

    mail = write(unsubscribe={"url": url}, headers={"In-Reply-To": " ".join(["<a@b>"] * 60)})

    assert f"List-Unsubscribe:\r\n <{url}>\r\n".encode() in mail.content
    assert read(mail)["In-Reply-To"].split() == ["<a@b>"] * 60
    assert max(map(len, mail.content.replace(url.encode(), b"").split(b"\r\n"))) <= 76


@pytest.mark.parametrize("value", ["a\r\nBcc: b@example.org", "a\nb", "a\0b", "a\u2028b"])
def test_header_with_a_control_character_cannot_be_written_by_any_way(value: str) -> None:
    message = EmailMessage(POLICY)

    with pytest.raises(ValueError, match="holds a control character"):
        message["X-Shop"] = value
