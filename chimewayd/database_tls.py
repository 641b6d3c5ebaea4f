"""Whether the network between us and the database can read or change what is said.

libpq's own default asks for encryption and takes no for an answer, from anybody. Ours is that a
server on another machine must prove that it is the one the DSN names; `sslmode` says otherwise.

Source: PostgreSQL documentation, "SSL Support", protection provided in different modes.
"""

import ssl
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path

import asyncpg

AUTHORITIES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
"""Where systems keep the authorities that they trust, if OpenSSL does not know."""


def proof_by_default(named: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return what to ask of a server on another machine where nobody named an `sslmode`.

    `named` are the parameters of the DSN and its service. Whose signature counts is as libpq has
    it: `sslrootcert`, or the file at its usual place; else the system's authorities do.
    """
    if named.get("sslmode") or environment.get("PGSSLMODE"):
        return {}
    usual = Path(environment.get("HOME", "/"), ".postgresql", "root.crt")
    if named.get("sslrootcert") or environment.get("PGSSLROOTCERT") or usual.is_file():
        return {"sslmode": "verify-full"}
    known = (ssl.get_default_verify_paths().cafile, *AUTHORITIES)
    found = next((file for file in known if file and Path(file).is_file()), None)
    return {"sslmode": "verify-full"} | ({"sslrootcert": found} if found else {})


def is_refusal(error: BaseException) -> bool:
    """Tell whether a server was not reached because TLS was asked for."""
    # asyncpg's own for a server that has none; what the network says are kinds of it.
    return type(error) is ConnectionError or isinstance(error, ssl.SSLError)


def weakness(connection: asyncpg.Connection) -> str | None:
    """Say how the network could read or change what is said on a connection; None: it cannot."""
    transport = connection._transport  # type: ignore[attr-defined]  # noqa: SLF001 - no public way
    return weakness_of(transport.get_extra_info("peername"), transport.get_extra_info("ssl_object"))


def weakness_of(peer: object, tls: ssl.SSLObject | None) -> str | None:
    """Decide what `weakness` says; a unix socket has no address, and a loopback has no network."""
    if not isinstance(peer, tuple) or ip_address(str(peer[0]).partition("%")[0]).is_loopback:
        return None
    if tls is None:
        return "not encrypted: who is on the network reads the password and every payload"
    if tls.context.verify_mode is not ssl.CERT_REQUIRED or not tls.context.check_hostname:
        return "encrypted, but nobody checked that the server is the right one"
    return None
