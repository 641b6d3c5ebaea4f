"""DSNs as libpq's users write them, made into what asyncpg takes.

asyncpg reads most of libpq's URL and environment, but sends each parameter it does not know to
the server, which then refuses the connection; it gives all hosts together one deadline; and a
service that it does not find it passes over, which leads to another server.
So hosts, service and what is about the socket are read here. Whatever the DSN leaves out comes
from the service, then from the environment. Nothing here repeats a DSN: it may hold a password.

Source: PostgreSQL documentation, "Connection URIs", "Parameter Key Words", "Environment
Variables" and "The Connection Service File".
"""

import configparser
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from chimewayd import database_tls
from chimewayd.errors import ConfigError
from chimewayd.target import Place, SessionAttrs, SocketOptions, Target

CONNECT_TIMEOUT_SECONDS: Final = 10.0
"""Where the DSN and PGCONNECT_TIMEOUT say nothing: every wait has a deadline."""

DEFAULT_HOSTS: Final = ("/run/postgresql", "/var/run/postgresql", "/tmp", "localhost")  # noqa: S108 - where servers put their sockets
DEFAULT_PORT: Final = "5432"

_FORM = "postgresql://user:password@host:port/database?key=value"
_TIMEOUT_LIMIT_SECONDS = 3600
_HOST = re.compile(r"(\[[0-9A-Fa-f:.%\w]+\]|[^\[\]:]*)(?::(\d{1,5}))?", re.ASCII)
_ESCAPE_HINT = (
    "percent-encode special characters in user and password (/ is %2F, @ is %40, % is %25)"
)
_NO_ESCAPE = re.compile(r"%(?!(?!00)[0-9A-Fa-f]{2})")
"""As in libpq, which would not guess either what a lone percent sign means."""

# Tuning, and protections that asyncpg does not have: the connection works without them.
_DROPPED = frozenset({
    "channel_binding", "client_encoding", "fallback_application_name", "gssdelegation",
    "gssencmode", "load_balance_hosts", "max_protocol_version", "min_protocol_version",
    "sslcertmode", "sslcompression", "sslkeylogfile", "sslsni",
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

# Ours to follow: asyncpg never sees them, or is overruled by arguments.
_CONNECT_TIMEOUT = "connect_timeout"
_SOCKET = ("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count",
           "tcp_user_timeout")  # fmt: skip
_PLACE = frozenset({"host", "port", "target_session_attrs"})


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
        ConfigError: It is no URL, asks for what cannot be had, or names an unknown service.
    """
    parts = _split(dsn, setting)
    given = dict(parts.query)
    service = given.get("service") or environment.get("PGSERVICE")
    from_service = _service(service, environment, setting) if service else {}
    named = from_service | given
    for key in named:
        if key in _REFUSED:
            raise ConfigError(setting, f"parameter {key} {_REFUSED[key]}")
    if environment.get("PGHOSTADDR"):
        raise ConfigError(setting, f"the environment's PGHOSTADDR {_REFUSED['hostaddr']}")
    query = [(key, value) for key, value in parts.query if _is_for_asyncpg(key)]
    query += [
        (key, value)
        for key, value in from_service.items()
        if key not in given and key not in _PLACE and _is_for_asyncpg(key)
    ]
    if "options" not in named and (options := environment.get("PGOPTIONS")):
        query.append(("options", options))
    # A slash alone names no database, as libpq has it; asyncpg would not look further.
    start = f"{parts.scheme}://{parts.place}{'' if parts.path == '/' else parts.path}"
    proof = database_tls.proof_by_default(named, environment)
    hosts, ports = _hosts_and_ports(parts, from_service, environment)
    return Target(
        start + _tail(query),
        start + _tail([*query, *proof.items()]),
        _timeout(named.get(_CONNECT_TIMEOUT) or environment.get("PGCONNECT_TIMEOUT"), setting),
        tuple(sorted(_DROPPED & named.keys())),
        _places(hosts, ports, setting),
        _session_attrs(
            named.get("target_session_attrs") or environment.get("PGTARGETSESSIONATTRS"),
            len(hosts),
            setting,
        ),
        _socket_options(named, setting),
    )


def _tail(query: list[tuple[str, str]]) -> str:
    return f"?{urlencode(query, quote_via=quote)}" if query else ""


def describe(dsn: str) -> str:
    """Name hosts and database without user and password, for logs; never fails."""
    try:
        parts = _split(dsn, "dsn")
    except ConfigError:
        return "(unreadable dsn)"
    named = dict(parts.query)
    if service := named.get("service"):
        return f"service {service}"
    hosts = named.get("host") or unquote(parts.place.rpartition("@")[2]) or "(PGHOST)"
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
        or _NO_ESCAPE.search(f"{url.netloc.rpartition('@')[0]}{url.path}?{url.query}") is not None
        or not all(_HOST.fullmatch(host) for host in hosts.split(","))
    )
    if is_ambiguous:
        raise ConfigError(setting, "cannot be read for certain as a URL", _ESCAPE_HINT)
    return _Parts(url.scheme, url.netloc, url.path, tuple(query))


def _is_for_asyncpg(key: str) -> bool:
    return key not in _DROPPED and key not in _SOCKET and key not in {_CONNECT_TIMEOUT, "service"}


def _service(name: str, environment: Mapping[str, str], setting: str) -> dict[str, str]:
    own = environment.get("PGSERVICEFILE") or f"{environment.get('HOME', '')}/.pg_service.conf"
    files = [Path(own)]
    if directory := environment.get("PGSYSCONFDIR"):
        files.append(Path(directory, "pg_service.conf"))
    for file in files:
        # No section gives values to the others, and a percent sign is one.
        sections = configparser.ConfigParser(
            default_section="", delimiters="=", comment_prefixes="#", interpolation=None
        )
        try:
            sections.read(file)
        except (configparser.Error, UnicodeDecodeError):
            # The reason may quote a password.
            raise ConfigError(
                setting, f"the service file {file} cannot be read", "[name], then key=value lines"
            ) from None
        if name in sections:
            return dict(sections[name])
    looked = " or ".join(map(str, files))
    raise ConfigError(setting, f"service {name} is not in {looked} (PGSERVICEFILE)")


def _hosts_and_ports(
    parts: _Parts, service: Mapping[str, str], environment: Mapping[str, str]
) -> tuple[list[str], list[str]]:
    """Return hosts and ports as they stand together; an empty one means the default."""
    written = [_HOST.fullmatch(host) for host in parts.place.rpartition("@")[2].split(",")]
    pairs = [(match[1].strip("[]"), match[2] or "") for match in written if match]
    named = dict(parts.query)
    in_url = ",".join(unquote(host) for host, _ in pairs), ",".join(port for _, port in pairs)
    hosts = named.get("host") or in_url[0] or service.get("host") or environment.get("PGHOST")
    ports = named.get("port") or in_url[1] or service.get("port") or environment.get("PGPORT")
    return (hosts or "").split(","), (ports or "").split(",")


def _places(hosts: list[str], ports: list[str], setting: str) -> tuple[Place, ...]:
    if len(ports) == 1:
        ports = ports * len(hosts)
    if len(ports) != len(hosts):
        problem = f"{len(ports)} ports for {len(hosts)} hosts"
        raise ConfigError(setting, problem, "one port for all hosts, or one for each")
    return tuple(
        Place(place, _number(port or DEFAULT_PORT, "port", range(1, 65536), setting))
        for host, port in zip(hosts, ports, strict=True)
        for place in ([host] if host else DEFAULT_HOSTS)
    )


def _session_attrs(text: str | None, host_count: int, setting: str) -> SessionAttrs:
    if not text:
        # Of several hosts one is the primary, and nearly all that we do is writing.
        return SessionAttrs.READ_WRITE if host_count > 1 else SessionAttrs.ANY
    try:
        return SessionAttrs(text)
    except ValueError:
        problem = "target_session_attrs (or PGTARGETSESSIONATTRS) is wrong"
        raise ConfigError(setting, problem, ", ".join(SessionAttrs)) from None


def _socket_options(named: Mapping[str, str], setting: str) -> SocketOptions:
    limits = range(2**31 // 1000)
    given = {key: _number(named[key], key, limits, setting) for key in _SOCKET if named.get(key)}
    return SocketOptions(**given)


def _timeout(text: str | None, setting: str) -> float:
    if not text:
        return CONNECT_TIMEOUT_SECONDS
    seconds = range(1, _TIMEOUT_LIMIT_SECONDS + 1)
    return float(_number(text, "connect_timeout (or PGCONNECT_TIMEOUT)", seconds, setting))


def _number(text: str, name: str, allowed: range, setting: str) -> int:
    is_number = text.isascii() and text.isdecimal() and len(text) < len("99999999999")
    if not is_number or int(text) not in allowed:
        raise ConfigError(
            setting, f"{name} is wrong", f"a whole number from {allowed[0]} to {allowed[-1]}"
        )
    return int(text)
