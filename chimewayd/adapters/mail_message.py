"""Write a checked payload as the bytes of a mail.

    payload ─▶ headers: the channel's, ours, the payload's ─▶ text · html · attachments ─▶ bytes

The bytes have CRLF line ends, hold ASCII alone unless an address needs SMTPUTF8, and keep their
Message-ID over retries: it is made of the delivery's id.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from chimewayd.adapters.mail_address import (
    Address,
    Mailbox,
    encoded_words,
    parse_address,
    parse_mailbox,
    refuse_control,
)
from chimewayd.adapters.mail_payload import (
    Attachment,
    MailPayload,
    UnsubscribeField,
    refuse_header,
)

DELIVERY_ID = "{delivery_id}"
"""Stands for the delivery's id in `envelope_from`."""
LINE_CHARACTERS = 76
LONGEST_WORD_CHARACTERS = 900
"""A line with its header's name must stay below 998 (RFC 5322 section 2.1.1)."""

_BLANKS_AND_WORD = re.compile(r" *[^ ]+")
# Source: RFC 3834 section 5.1; it keeps the absent from answering.
_DEFAULT_HEADERS = {"Auto-Submitted": "auto-generated"}


@dataclass(frozen=True, slots=True)
class Letterhead:
    """What a channel puts on each of its mails, and what it lets a payload choose."""

    sender: Mailbox
    envelope_from: str | None
    """Perhaps with `DELIVERY_ID` in it; None: the address of `From`."""
    reply_to: Mailbox | None
    headers: Mapping[str, str]
    allowed_headers: tuple[str, ...]
    """Lower-case patterns."""
    from_domains: frozenset[str]
    message_id_domain: str


@dataclass(frozen=True, slots=True)
class Mail:
    """What goes over the wire."""

    sender: Address
    """Of the envelope: whoever gets the bounce."""
    recipient: Address
    content: bytes
    delivery_id: str
    needs_smtputf8: bool
    """Only a relay that offers SMTPUTF8 can take it."""
    has_channels_sender: bool
    """The envelope's sender is the channel's: a relay that refuses it refuses every mail."""


class _Policy(EmailPolicy):
    """Writes headers as they are handed in, folded at blanks.

    The standard library parses each into a tree first, which is two thirds of the time that a
    mail takes; and it encodes words longer than a line, which breaks URLs and message ids. It
    keeps what it alone can write: names of files beyond ASCII.
    """

    def header_store_parse(self, name: str, value: object) -> tuple[str, Any]:
        if not isinstance(value, str) or (name.startswith("Content-") and not value.isascii()):
            return super().header_store_parse(name, value)
        refuse_control(value)
        return name, value

    def header_max_count(self, name: str) -> int:  # noqa: ARG002 - the library's
        return 1

    def header_fetch_parse(self, name: str, value: str) -> Any:
        return value if hasattr(value, "name") else _parsed(name, value)

    def fold_binary(self, name: str, value: str) -> bytes:
        if hasattr(value, "name"):  # one of the trees
            return super().fold_binary(name, value)
        return _folded(f"{name}: {value}").encode()


@lru_cache(maxsize=64)
def _parsed(name: str, value: str) -> Any:
    # The library reads its own few `Content-` headers again and again while it writes a mail.
    return EmailPolicy.header_factory(name, value)


# ASCII alone, so that a relay needs no extension for it.
POLICY = _Policy(linesep="\r\n", cte_type="7bit")


def compose(
    letterhead: Letterhead,
    payload: MailPayload,
    attachments: Sequence[Attachment],
    recipient: Address,
    delivery_id: str,
    now: datetime,
) -> Mail:
    """Return the mail of a delivery.

    Raises:
        ValueError: the channel does not allow what the payload chooses; the message names it.
    """
    sender = _sender(letterhead, payload)
    reply_to = parse_mailbox(payload.reply_to) if payload.reply_to else letterhead.reply_to
    envelope_from = sender.address
    if letterhead.envelope_from is not None:
        envelope_from = parse_address(letterhead.envelope_from.replace(DELIVERY_ID, delivery_id))
    addresses = [
        recipient,
        envelope_from,
        sender.address,
        *([reply_to.address] if reply_to else []),
    ]
    needs_smtputf8 = any(address.needs_smtputf8 for address in addresses)
    message = EmailMessage(POLICY)
    message["From"] = sender.header
    message["To"] = str(recipient)
    message["Subject"] = _written(payload.subject)
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{delivery_id}@{letterhead.message_id_domain}>"
    if reply_to is not None:
        message["Reply-To"] = reply_to.header
    for name, value in _custom_headers(letterhead, payload).items():
        message[name] = _written(value)
    if payload.unsubscribe is not None:
        _write_unsubscribe(message, payload.unsubscribe)
    _write_body(message, payload, attachments)
    return Mail(
        sender=envelope_from,
        recipient=recipient,
        content=message.as_bytes(),
        delivery_id=delivery_id,
        needs_smtputf8=needs_smtputf8,
        has_channels_sender=payload.sender is None or letterhead.envelope_from is not None,
    )


def _sender(letterhead: Letterhead, payload: MailPayload) -> Mailbox:
    if payload.sender is None:
        return letterhead.sender
    sender = parse_mailbox(payload.sender)
    if sender.address.domain not in letterhead.from_domains:
        raise ValueError(
            "payload.from: its domain is not one that the channel's from_domains lists"
        )
    return sender


def _custom_headers(letterhead: Letterhead, payload: MailPayload) -> Mapping[str, str]:
    """Return the channel's headers and the payload's, which win, by name."""
    headers = {name.lower(): (name, value) for name, value in _DEFAULT_HEADERS.items()}
    headers |= {name.lower(): (name, value) for name, value in letterhead.headers.items()}
    for name, value in payload.headers.items():
        try:
            refuse_header(name, value)
        except ValueError as error:
            raise ValueError(f"payload.headers: {error}") from None
        if not any(fnmatchcase(name.lower(), allowed) for allowed in letterhead.allowed_headers):
            raise ValueError(
                f"payload.headers: {name} is not one that the channel's allowed_headers lists"
            )
        headers[name.lower()] = (name, value)
    return dict(headers.values())


def _write_unsubscribe(message: EmailMessage, unsubscribe: UnsubscribeField) -> None:
    """Source: RFC 2369 section 3.2; RFC 8058 section 3.1, one-click needs an https URL."""
    ways = [unsubscribe.url, unsubscribe.mailto and f"mailto:{unsubscribe.mailto}"]
    message["List-Unsubscribe"] = ", ".join(f"<{way}>" for way in ways if way)
    if unsubscribe.url is not None and unsubscribe.one_click:
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"


def _write_body(
    message: EmailMessage, payload: MailPayload, attachments: Sequence[Attachment]
) -> None:
    if payload.text is not None:
        message.set_content(payload.text)
    if payload.html is not None:
        write = message.set_content if payload.text is None else message.add_alternative
        write(payload.html, subtype="html")
    for attachment in attachments:
        maintype, subtype = attachment.content_type.split("/")
        message.add_attachment(
            attachment.content, maintype=maintype, subtype=subtype, filename=attachment.filename
        )


def _written(text: str) -> str:
    longest = max(map(len, text.split(" ")))
    is_fine = text.isascii() and longest <= LONGEST_WORD_CHARACTERS
    return text if is_fine else encoded_words(text)


def _folded(header: str) -> str:
    """Break a line before a blank where it would be too long; a longer word stays whole."""
    if len(header) <= LINE_CHARACTERS:
        return f"{header}\r\n"
    lines = [""]
    for word in _BLANKS_AND_WORD.findall(header):
        if lines[-1] and len(lines[-1]) + len(word) > LINE_CHARACTERS:
            lines.append("")
        lines[-1] += word
    return "\r\n".join((*lines, ""))
