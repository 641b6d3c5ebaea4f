"""Judge one mailbox: an addr-spec for the envelope, a name beside it for the header.

Source: RFC 5321 sections 2.4 and 4.5.3.1 (sizes), RFC 5322 section 3.4.1 (dot-atom), RFC 6531
section 3.3 (more than ASCII before the @), RFC 5891 (more than ASCII after it).
Missing on purpose: quoted local parts, comments, routes, groups and address literals. What no
provider hands out is, in a recipient, a mistake or an attack.
"""

import re
from email.header import Header
from typing import NamedTuple

import idna

LONGEST_ADDRESS_BYTES = 254
LONGEST_LOCAL_BYTES = 64

# What separates addresses, comments and commands; no relay may be left to guess.
_NOT_IN_LOCAL = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\ud800-\udfff\"(),:;<>@\[\\\]\s]")
_HOST = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*\Z"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Address(NamedTuple):
    """One address, its domain as DNS and SMTP write it."""

    local: str
    domain: str
    """Lower-case ASCII; A-labels where the address had others."""

    @property
    def needs_smtputf8(self) -> bool:
        """Whether only a relay that offers SMTPUTF8 can take it."""
        return not self.local.isascii()

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"


class Mailbox(NamedTuple):
    """An address, and the name that people read beside it."""

    name: str
    address: Address

    @property
    def header(self) -> str:
        """Return it as a header has it: the name quoted or encoded, the address as it is."""
        if not self.name:
            return str(self.address)
        quoted = re.sub(r'([\\"])', r"\\\1", self.name)
        name = f'"{quoted}"' if self.name.isascii() else encoded_words(self.name)
        return f"{name} <{self.address}>"


def encoded_words(text: str) -> str:
    """Write text as encoded words, with a blank between each two, which a reader drops.

    Source: RFC 2047 sections 2 and 6.2. `email.policy` would add blanks of its own to names.
    """
    return " ".join(Header(text, "utf-8").encode().split())


def refuse_control(text: str) -> None:
    """Refuse what could end a header's line.

    Raises:
        ValueError: a control character is in it.
    """
    if _CONTROL.search(text):
        raise ValueError("holds a control character")


def parse_address(text: str) -> Address:
    """Return the one address that `text` is.

    Raises:
        ValueError: it is none, or more than one; the message holds no part of it.
    """
    local, at, domain = text.rpartition("@")
    if not at or not local or not domain:
        raise ValueError("is not an address of the form local@domain")
    refuse_control(text)
    if _NOT_IN_LOCAL.search(local):
        raise ValueError("is not one plain address: a blank, a quote or a separator is in it")
    if local.startswith(".") or local.endswith("."):
        raise ValueError("has a dot at an end of its local part")
    address = Address(local, _ascii_domain(domain))
    if len(local.encode()) > LONGEST_LOCAL_BYTES:
        raise ValueError(f"has more than {LONGEST_LOCAL_BYTES} bytes before the @")
    if len(str(address).encode()) > LONGEST_ADDRESS_BYTES:
        raise ValueError(f"is longer than {LONGEST_ADDRESS_BYTES} bytes")
    return address


def parse_mailbox(text: str) -> Mailbox:
    """Return the one mailbox that `text` is: `address`, or `name <address>`.

    Raises:
        ValueError: as `parse_address`.
    """
    refuse_control(text)
    text = text.strip()
    # No pattern: it would try every way to share out a run of blanks.
    before, bracket, address = text.removesuffix(">").rpartition("<")
    if not bracket or not text.endswith(">"):
        return Mailbox("", parse_address(text))
    name = before.rstrip()
    if name.startswith('"') and name.endswith('"') and len(name) > 1:
        name = re.sub(r"\\(.)", r"\1", name[1:-1])
    elif "<" in name or ">" in name:
        raise ValueError("is not one mailbox of the form name <local@domain>")
    return Mailbox(name, parse_address(address))


def _ascii_domain(domain: str) -> str:
    lower = domain.lower()
    if _HOST.match(lower):
        return lower
    if domain.isascii():
        raise ValueError("has no valid domain after the @")
    try:
        encoded = idna.encode(domain, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise ValueError("has no valid domain after the @") from None
    if not _HOST.match(encoded):
        raise ValueError("has no valid domain after the @")
    return encoded
