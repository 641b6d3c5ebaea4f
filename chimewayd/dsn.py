"""DSNs as libpq's users write them, made into what asyncpg takes.

asyncpg reads most of libpq's URL and environment, but sends each parameter it does not know to
the server, which then refuses the connection; and it reads PGSERVICE too late to use it.
Nothing here repeats a DSN, because it may hold a password.

Source: PostgreSQL documentation, "Connection URIs" and "Parameter Key Words".
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from chimewayd.errors import ConfigError

CONNECT_TIMEOUT_SECONDS: Final = 10.0
"""Where the DSN and PGCONNECT_TIMEOUT say nothing: every wait has a deadline."""

_FORM = "postgresql://user:password@host:port/database?key=value"
_CONNECT_TIMEOUT = "connect_timeout"
_TIMEOUT_LIMIT_SECONDS = 3600
_HOST = re.compile(r"(\[[0-9A-Fa-f:.%\w]+\]|[^\[\]:]*)(:\d{1,5})?", re.ASCII)
_ESCAPE_HINT = "percent-encode special characters in user and password (/ is %2F, @ is %40)"

# Tuning, and protections that asyncpg does not have: the connection works without them.
_DROPPED = frozenset({
    "channel_binding", "client_encoding", "fallback_application_name", "gssdelegation",
    "gssencmode", "keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval",
    "load_balance_hosts", "max_protocol_version", "min_protocol_version", "sslcertmode",
    "sslcompression", "sslkeylogfile", "sslsni", "tcp_user_timeout",
})  # fmt: skip

# Dropped, these would connect to another place, or to one that was not proved to be right.
_REFUSED = {
    "hostaddr": "is not supported; write the address as the host",
    "oauth_client_id": "is not supported; use a password or a certificate",
    "oauth_issuer": "is not supported; use a password or a certificate",
    "replication": "makes no ordinary connection; leave it out",
    "require_auth": "cannot be enforced here; leave it out and restrict pg_hba.conf",
    "requirepeer": "cannot be enforced here; leave it out",
    "requiressl": "is long obsolete; write sslmode=require",
    "servicefile": "is not supported here; set PGSERVICEFILE",
    "sslcrldir": "is not supported; write sslcrl with one file",
}


@dataclass(frozen=True, slots=True)
class Target:
    """What to hand to `asyncpg.connect`: `dsn`, and `connect_timeout` seconds as `timeout`."""

    dsn: str = field(repr=False)
    connect_timeout: float
    dropped: tuple[str, ...]
    """Parameters of libpq that have no effect here, by name: worth a warning."""


@dataclass(frozen=True, slots=True)
class _Parts:
    scheme: str
    place: str = field(repr=False)
    """User, password and hosts, as written."""
    path: str
    query: tuple[tuple[str, str], ...] = field(repr=False)


def parse(dsn: str, environment: Mapping[str, str] = os.environ, setting: str = "dsn") -> Target:
    """Check a DSN and translate it; `setting` is its name in errors.

    Raises:
        ConfigError: It is no URL, or asks for what cannot be had.
    """
    parts = _split(dsn, setting)
    for key, _ in parts.query:
        if key in _REFUSED:
            raise ConfigError(setting, f"parameter {key} {_REFUSED[key]}")
    dropped = tuple(sorted({key for key, _ in parts.query if key in _DROPPED}))
    kept = [
        (key, value)
        for key, value in parts.query
        if key not in _DROPPED and key != _CONNECT_TIMEOUT
    ]
    named = dict(parts.query)
    if "service" not in named and (service := environment.get("PGSERVICE")):
        kept.append(("service", service))
    seconds = named.get(_CONNECT_TIMEOUT) or environment.get("PGCONNECT_TIMEOUT")
    query = f"?{urlencode(kept, quote_via=quote)}" if kept else ""
    return Target(
        f"{parts.scheme}://{parts.place}{parts.path}{query}", _timeout(seconds, setting), dropped
    )


def describe(dsn: str) -> str:
    """Name hosts and database without user and password, for logs; never fails."""
    try:
        parts = _split(dsn, "dsn")
    except ConfigError:
        return "(unreadable dsn)"
    named = dict(parts.query)
    if service := named.get("service"):
        return f"service {service}"
    hosts = unquote(parts.place.rpartition("@")[2]) or named.get("host") or "(PGHOST)"
    database = (
        unquote(parts.path[1:]) or named.get("dbname") or named.get("database") or "(PGDATABASE)"
    )
    return f"{hosts}/{database}"


def _split(dsn: str, setting: str) -> _Parts:
    if "://" not in dsn:
        problem = "is empty" if not dsn.strip() else "is not a URL; write host=… as a URL"
        raise ConfigError(setting, problem, _FORM)
    if dsn.partition("://")[0] not in {"postgresql", "postgres"}:
        raise ConfigError(setting, "is no URL of Postgres", _FORM)
    try:
        url = urlsplit(dsn)
        # In a URI of libpq a plus sign is no space.
        text = url.query.replace("+", "%2B")
        query = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text))
    except ValueError:
        # The reason may quote the password.
        raise ConfigError(setting, "cannot be read as a URL", _ESCAPE_HINT) from None
    hosts = url.netloc.rpartition("@")[2]
    is_ambiguous = (
        url.netloc.count("@") > 1
        or "#" in dsn
        or "@" in url.path
        or not dsn.isprintable()
        or not all(_HOST.fullmatch(host) for host in hosts.split(","))
    )
    if is_ambiguous:
        raise ConfigError(setting, "cannot be read for certain as a URL", _ESCAPE_HINT)
    return _Parts(url.scheme, url.netloc, url.path, tuple(query))


def _timeout(text: str | None, setting: str) -> float:
    if not text:
        return CONNECT_TIMEOUT_SECONDS
    is_number = text.isascii() and text.isdecimal() and len(text) < len("99999")
    if not is_number or not 1 <= int(text) <= _TIMEOUT_LIMIT_SECONDS:
        raise ConfigError(
            setting,
            "connect_timeout (or PGCONNECT_TIMEOUT) is wrong",
            f"1 to {_TIMEOUT_LIMIT_SECONDS} whole seconds",
        )
    return float(text)
