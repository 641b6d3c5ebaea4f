"""Check the payload of a mail: what it may hold, how much, and which field is wrong.

    {"subject": …, "text": …, "html": …, "from": …, "reply_to": …, "headers": {…},
     "attachments": [{"filename": …, "content_type": …, "content_base64": …}],
     "unsubscribe": {"url": …, "mailto": …, "one_click": true}}

Errors name the field and never repeat its value: mails are private.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from chimewayd.adapters.mail_address import parse_address, parse_mailbox, refuse_control

LONGEST_SUBJECT = 998
"""Characters. Source: RFC 5322 section 2.1.1, unfolded by many readers."""
LONGEST_VALUE = 998
LONGEST_FILENAME = 200
LONGEST_MAILBOX = 400
"""An address has 254 at most; its header is one line where a name has no blanks."""

_UNENCODABLE = re.compile(r"[\x00\ud800-\udfff]")
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,64}\Z")
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9][\w.+-]{0,63}/[A-Za-z0-9][\w.+-]{0,126}\Z", re.ASCII)
_HTTPS_URL = re.compile(r"https://[\x21\x23-\x3b\x3d\x3f-\x7e]{1,1900}\Z")
_MAILTO_QUERY = re.compile(r"[\x21\x23-\x3b\x3d\x3f-\x7e]{0,500}\Z")

# They say who wrote what to whom, or how it is read: set by us, by the relay, or by nobody.
OUR_HEADERS = frozenset(
    {
        *("from", "sender", "to", "cc", "bcc", "reply-to", "subject", "date", "message-id"),
        *("mime-version", "return-path", "received", "dkim-signature", "apparently-to"),
        *("list-unsubscribe", "list-unsubscribe-post", "delivered-to", "errors-to"),
        *("authentication-results", "arc-seal", "arc-message-signature", "return-receipt-to"),
        *("arc-authentication-results", "disposition-notification-to"),
    }
)
_OUR_PREFIXES = ("content-", "resent-")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class AttachmentField(_Part):
    """One attachment as the payload names it."""

    filename: str = Field(min_length=1, max_length=LONGEST_FILENAME)
    content_type: str = "application/octet-stream"
    content_base64: str

    @field_validator("filename")
    @classmethod
    def _is_a_name(cls, filename: str) -> str:
        refuse_control(filename)
        if "/" in filename or "\\" in filename:
            raise ValueError("must be a name without a folder")
        return filename

    @field_validator("content_type")
    @classmethod
    def _is_a_leaf(cls, content_type: str) -> str:
        if not _MEDIA_TYPE.match(content_type):
            raise ValueError("must be a media type, as in application/pdf")
        if content_type.lower().startswith(("multipart/", "message/")):
            raise ValueError("must be the type of one file, not of a message")
        return content_type


class UnsubscribeField(_Part):
    """How the reader leaves the list."""

    url: str | None = None
    mailto: str | None = None
    one_click: bool = True

    @field_validator("url")
    @classmethod
    def _is_https(cls, url: str | None) -> str | None:
        if url is not None and not _HTTPS_URL.match(url):
            raise ValueError("must be an https URL in ASCII")
        return url

    @field_validator("mailto")
    @classmethod
    def _is_a_mailto(cls, mailto: str | None) -> str | None:
        if mailto is None:
            return None
        address, _, query = mailto.partition("?")
        parsed = parse_address(address)
        if parsed.needs_smtputf8 or not _MAILTO_QUERY.match(query):
            raise ValueError("must be an address in ASCII, with nothing but a query behind it")
        return f"{parsed}?{query}" if query else str(parsed)

    @model_validator(mode="after")
    def _leads_somewhere(self) -> "UnsubscribeField":
        if self.url is None and self.mailto is None:
            raise ValueError("needs a url, a mailto, or both")
        return self


class MailPayload(_Part):
    """A payload whose form is right; what a channel allows is asked afterwards."""

    subject: str = Field(max_length=LONGEST_SUBJECT)
    text: str | None = None
    html: str | None = None
    sender: str | None = Field(default=None, alias="from", max_length=LONGEST_MAILBOX)
    reply_to: str | None = Field(default=None, max_length=LONGEST_MAILBOX)
    headers: dict[str, str] = Field(default_factory=dict)
    attachments: tuple[AttachmentField, ...] = Field(default=(), strict=False)
    unsubscribe: UnsubscribeField | None = None

    @field_validator("subject")
    @classmethod
    def _is_one_line(cls, subject: str) -> str:
        refuse_control(subject)
        return subject

    @field_validator("text", "html")
    @classmethod
    def _can_be_written(cls, body: str | None) -> str | None:
        if body is not None and _UNENCODABLE.search(body):
            raise ValueError("holds a NUL character or half a character")
        return body

    @field_validator("sender", "reply_to")
    @classmethod
    def _is_a_mailbox(cls, mailbox: str | None) -> str | None:
        if mailbox is not None:
            parse_mailbox(mailbox)
        return mailbox

    @model_validator(mode="after")
    def _says_something(self) -> "MailPayload":
        if self.text is None and self.html is None:
            raise ValueError("needs text, html, or both")
        return self


@dataclass(frozen=True, slots=True)
class Attachment:
    """A decoded attachment."""

    filename: str
    content_type: str
    content: bytes


def parse_payload(payload_json: str) -> MailPayload:
    """Return the payload of a mail.

    Raises:
        ValueError: the message names the field and says what is wrong with it.
    """
    try:
        return MailPayload.model_validate_json(payload_json)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(("payload", *(str(part) for part in wrong["loc"])))
        said = {"extra_forbidden": "is no field of a mail", "missing": "is missing"}
        what = said.get(wrong["type"]) or wrong["msg"].removeprefix("Value error, ")
        raise ValueError(f"{where}: {what.replace('Input should be', 'must be')}") from None


def decode_attachments(
    fields: Sequence[AttachmentField], most: int, most_bytes: int
) -> tuple[Attachment, ...]:
    """Decode the attachments of a payload, within the channel's limits.

    Raises:
        ValueError: as `parse_payload`.
    """
    if len(fields) > most:
        raise ValueError(f"payload.attachments: are {len(fields)}; the channel allows {most}")
    decoded, size_bytes = [], 0
    for position, field in enumerate(fields):
        try:
            content = base64.b64decode(field.content_base64, validate=True)
        except (binascii.Error, ValueError):
            where = f"payload.attachments.{position}.content_base64"
            raise ValueError(f"{where}: must be base64, without line breaks") from None
        size_bytes += len(content)
        if size_bytes > most_bytes:
            raise ValueError(f"payload.attachments: have more than {most_bytes} bytes together")
        decoded.append(Attachment(field.filename, field.content_type, content))
    return tuple(decoded)


def refuse_header(name: str, value: str) -> None:
    """Refuse a header that is malformed, or that only we or the relay may set.

    Raises:
        ValueError: the message names a well-formed name only, and never the value.
    """
    if not _HEADER_NAME.match(name):
        raise ValueError("a header's name must be 1 to 64 letters, digits and hyphens")
    if name.lower() in OUR_HEADERS or name.lower().startswith(_OUR_PREFIXES):
        raise ValueError(f"{name} is not a custom header: chimewayd or the relay sets it")
    try:
        refuse_control(value)
    except ValueError as error:
        raise ValueError(f"the value of {name} {error}") from None
    if not value.strip() or len(value) > LONGEST_VALUE:
        raise ValueError(f"the value of {name} must have 1 to {LONGEST_VALUE} characters")
