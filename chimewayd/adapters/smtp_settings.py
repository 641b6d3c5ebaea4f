"""The settings of a smtp channel, and what is wrong with them."""

import importlib.util
import ipaddress
import re
import ssl
from collections.abc import Iterable
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import assert_never

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from chimewayd.adapters.base import AdapterSettings
from chimewayd.adapters.mail_address import parse_address, parse_mailbox
from chimewayd.adapters.mail_message import DELIVERY_ID
from chimewayd.adapters.mail_payload import refuse_header
from chimewayd.config_types import Whole
from chimewayd.durations import Duration

_HOST = re.compile(r"[A-Za-z0-9_.:-]{1,253}\Z")
_HELO_NAME = re.compile(
    r"[A-Za-z0-9_.-]{1,253}\Z|\[[A-Fa-f0-9.:]{2,45}\]\Z|\[IPv6:[A-Fa-f0-9.:]{2,45}\]\Z"
)
_PATTERN = re.compile(r"[A-Za-z0-9-]{1,64}\*?\Z|\*\Z")
_SOME_ID = "01890a5d-ac96-774b-bcce-b302099a8057"


class Tls(StrEnum):
    """How the way to the relay is protected."""

    STARTTLS = "starttls"
    IMPLICIT = "implicit"
    NONE = "none"


class Notify(StrEnum):
    """When the relay is asked for a report (RFC 3461 section 4.1)."""

    FAILURE = "failure"
    DELAY = "delay"
    SUCCESS = "success"


def is_loopback(host: str | None) -> bool:
    """Tell whether this is the host itself."""
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost"


class SmtpSettings(AdapterSettings):
    """Settings of a smtp channel."""

    host: str = Field(description="the relay's host name or IP address")
    username: str | None = Field(default=None, description="a name; with a password")
    password: SecretStr | None = Field(
        default=None, validate_default=True, description="a password; with a username"
    )
    allow_plaintext_auth: bool = Field(default=False, description="true or false")
    tls: Tls = Field(default=Tls.STARTTLS, description=", ".join(Tls))
    port: Whole | None = Field(
        default=None, ge=1, le=65535, description="1 to 65535; unset: 587, 465 or 25, as tls says"
    )
    verify_tls: bool = Field(
        default=True, description="false accepts any certificate: for a test system only"
    )
    ca_file: Path | None = Field(
        default=None, description="a PEM file of the authorities to trust instead of the system's"
    )
    helo_name: str | None = Field(
        default=None,
        description="this host's full name or [address]; unset: as the host calls itself",
    )
    sender: str = Field(alias="from", description="a mailbox, as in Shop <shop@example.org>")
    envelope_from: str | None = Field(
        default=None,
        description=f"the address for bounces, perhaps with {DELIVERY_ID}; unset: that of from",
    )
    reply_to: str | None = Field(default=None, description="a mailbox")
    headers: dict[str, str] = Field(
        default_factory=dict, description="names and values of headers of each mail, none of ours"
    )
    allowed_headers: tuple[str, ...] = Field(
        default=(
            *("Auto-Submitted", "Feedback-ID", "Importance", "In-Reply-To", "List-Id"),
            *("References", "X-Entity-Ref-ID"),
        ),
        description="names of headers that a payload may set; X-Shop-* is all that begin so",
    )
    from_domains: frozenset[str] = Field(
        default=frozenset(),
        description="domains that a payload's from may have besides that of the channel's from",
    )
    message_id_domain: str | None = Field(
        default=None, description="a domain for Message-ID; unset: that of from"
    )
    notify: tuple[Notify, ...] = Field(
        default=(Notify.FAILURE,), description=f"a list of {', '.join(Notify)}; empty: no request"
    )
    max_attachments: Whole = Field(default=10, ge=0, le=100, description="0 to 100")
    max_attachment_bytes: Whole = Field(
        default=256 * 1024, ge=0, le=64 * 1024 * 1024, description="0 to 64 MiB, all together"
    )
    inline_css: bool = Field(default=False, description="true or false; true needs the extra css")
    connections: Whole = Field(default=10, ge=1, le=1000, description="1 to 1000")
    messages_per_connection: Whole = Field(default=100, ge=1, description="1 or more")
    connection_age: Duration = Field(
        default=timedelta(minutes=5), gt=timedelta(), description="a duration above zero"
    )
    idle_timeout: Duration = Field(
        default=timedelta(seconds=15), gt=timedelta(), description="a duration above zero"
    )
    connect_timeout: Duration = Field(
        default=timedelta(seconds=10), gt=timedelta(), description="a duration above zero"
    )

    @property
    def relay_port(self) -> int:
        """The port, or what is usual for the kind of TLS."""
        if self.port is not None:
            return self.port
        match self.tls:
            case Tls.STARTTLS:
                return 587
            case Tls.IMPLICIT:
                return 465
            case Tls.NONE:
                return 25
            case _:
                assert_never(self.tls)

    def dangers(self) -> Iterable[tuple[str, str]]:
        """As `AdapterSettings`; on the way to this host itself there is nobody."""
        if is_loopback(self.host):
            return
        if self.tls is Tls.NONE:
            yield "tls", "mails and answers can be read and changed on the way"
        elif not self.verify_tls:
            yield "verify_tls", "no certificate is checked: anybody on the way can read and answer"
        if self.tls is Tls.NONE and self.username is not None:
            yield "allow_plaintext_auth", "the password can be read on the way"

    def tls_context(self) -> ssl.SSLContext:
        """Make the context of each connection: TLS 1.2 or newer, certificate and name checked.

        Raises:
            OSError, ssl.SSLError: `ca_file` cannot be used.
        """
        context = ssl.create_default_context(cafile=self.ca_file)
        if not self.verify_tls:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    @field_validator("host")
    @classmethod
    def _is_a_host(cls, host: str) -> str:
        try:
            host.encode("idna")  # a part is empty or too long: no look-up takes it
        except UnicodeError:
            raise ValueError("is no host name or IP address") from None
        if not _HOST.match(host):
            raise ValueError("is no host name or IP address")
        return host

    @field_validator("password")
    @classmethod
    def _has_a_username(
        cls, password: SecretStr | None, others: ValidationInfo
    ) -> SecretStr | None:
        if (password is None) != (others.data.get("username") is None):
            raise ValueError("username and password belong together: one is missing")
        return password

    @field_validator("tls")
    @classmethod
    def _hides_the_password(cls, tls: Tls, others: ValidationInfo) -> Tls:
        said = others.data
        sends_password = tls is Tls.NONE and said.get("username") is not None
        if (
            sends_password
            and not said.get("allow_plaintext_auth")
            and not is_loopback(said.get("host"))
        ):
            raise ValueError(
                "none would send the password in clear text to another host;"
                " allow_plaintext_auth = true says that this is meant"
            )
        return tls

    @field_validator("helo_name")
    @classmethod
    def _can_be_said(cls, name: str | None) -> str | None:
        if name is not None and not _HELO_NAME.match(name):
            raise ValueError("is no host name or address in brackets")
        return name

    @field_validator("sender", "reply_to")
    @classmethod
    def _is_a_mailbox(cls, mailbox: str | None) -> str | None:
        if mailbox is not None:
            parse_mailbox(mailbox)
        return mailbox

    @field_validator("envelope_from")
    @classmethod
    def _is_an_address(cls, address: str | None) -> str | None:
        if address is not None:
            parse_address(address.replace(DELIVERY_ID, _SOME_ID))
        return address

    @field_validator("headers")
    @classmethod
    def _are_ours_to_send(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            refuse_header(name, value)
        if len({name.lower() for name in headers}) < len(headers):
            raise ValueError("a header is named twice, in different letter case")
        return headers

    @field_validator("allowed_headers")
    @classmethod
    def _are_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not _PATTERN.match(name):
                raise ValueError(
                    "a name must be letters, digits and hyphens, perhaps with a * behind"
                )
        return names

    @field_validator("from_domains")
    @classmethod
    def _are_domains(cls, domains: frozenset[str]) -> frozenset[str]:
        return frozenset(parse_address(f"a@{domain}").domain for domain in domains)

    @field_validator("message_id_domain")
    @classmethod
    def _is_a_domain(cls, domain: str | None) -> str | None:
        return None if domain is None else parse_address(f"a@{domain}").domain

    @field_validator("ca_file")
    @classmethod
    def _can_be_read(cls, file: Path | None) -> Path | None:
        if file is not None:
            try:
                ssl.create_default_context(cafile=file)
            except (OSError, ssl.SSLError):
                raise ValueError("cannot be read as PEM certificates") from None
        return file

    @field_validator("inline_css")
    @classmethod
    def _is_installed(cls, inline_css: bool) -> bool:
        if inline_css and importlib.util.find_spec("css_inline") is None:
            raise ValueError("true needs the extra css: pip install 'chimewayd[css]'")
        return inline_css
