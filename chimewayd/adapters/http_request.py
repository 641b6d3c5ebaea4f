"""Judge what an HTTP request of ours may carry: the recipient's URL, an operator's headers."""

import re
from functools import lru_cache
from urllib.parse import urlsplit

from yarl import URL

# Source: RFC 9110 section 5.6.2 (token) and section 5.5 (field values; ASCII only here,
# because receivers disagree on what the other octets mean).
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_FIELD_VALUE = re.compile(r"[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?")
KEY_IN_PATH = re.compile(r"[^/]{20,}")
"""Ids and words of an address are shorter, keys are longer."""
_BLANK_OR_CONTROL = re.compile(r"[\x00-\x20\x7f-\x9f\s]")

# Source: RFC 9110 section 7.6.1 and RFC 9112 section 6: they belong to the connection.
HOP_BY_HOP_HEADERS = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
OUR_HEADERS = frozenset(
    {
        "accept-encoding",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "user-agent",
        "webhook-id",
        "webhook-signature",
        "webhook-timestamp",
    }
)


@lru_cache(maxsize=256)
def target(recipient: str) -> URL:
    """Return the URL to call.

    Raises:
        ValueError: not a URL that we call; the message says why and holds no part of it.
    """
    if _BLANK_OR_CONTROL.search(recipient):
        raise ValueError("holds a blank or a control character")
    try:
        has_userinfo = "@" in urlsplit(recipient).netloc
        url = URL(recipient)
    except ValueError:
        raise ValueError("is not a valid URL") from None
    if url.scheme not in ("http", "https"):
        raise ValueError("is not an http or https URL")
    if has_userinfo:
        raise ValueError("holds a user name or password: use the channel's headers setting")
    if not url.host:
        raise ValueError("names no host")
    return url


def keys_of(url: URL) -> tuple[str, ...]:
    """List what of an address may be a key: parts of its path, and its query."""
    parts = (part for part in (*url.parts, *url.raw_parts) if KEY_IN_PATH.fullmatch(part))
    return (url.raw_query_string, *url.query.values(), *parts)


def refuse_header(name: str, value: str) -> None:
    """Refuse a static header that is malformed or is not the operator's to set.

    Raises:
        ValueError: the message names a well-formed name only, and never the value.
    """
    if not _TOKEN.fullmatch(name):
        raise ValueError("a header's name holds characters that no header name may hold")
    if name.lower() in HOP_BY_HOP_HEADERS:
        raise ValueError(f"{name} belongs to the connection, not to the request")
    if name.lower() in OUR_HEADERS:
        raise ValueError(f"{name} is set by chimewayd itself")
    if not _FIELD_VALUE.fullmatch(value):
        raise ValueError(f"the value of {name} is not printable ASCII without outer blanks")
