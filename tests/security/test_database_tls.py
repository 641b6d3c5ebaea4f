"""TLS to Postgres, with real certificates: what each sslmode accepts, and what is said of it."""

import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import engine
import logins
import pytest
import running
import trustme
from commands import chimewayd
from tls_terminator import terminator

from chimewayd import embedded, migrate, session
from chimewayd.connect import weakness_of
from chimewayd.errors import DatabaseUnavailable

pytestmark = pytest.mark.anyio

FAR = ("192.0.2.7", 5432)


@dataclass(frozen=True, slots=True)
class Secured:
    """A server whose certificate says 127.0.0.1, and where the authorities' certificates are."""

    port: int
    right: str
    wrong: str

    def dsn(
        self,
        mode: str,
        authority: str | None = None,
        *,
        host: str = "127.0.0.1",
        user: str = "postgres",
        database: str = "postgres",
    ) -> str:
        root = f"&sslrootcert={authority}" if authority else ""
        return f"postgresql://{user}@{host}:{self.port}/{database}?sslmode={mode}{root}"


@pytest.fixture(scope="module")
def plain() -> Iterator[embedded.Server]:
    with embedded.server() as server:
        yield server


@pytest.fixture
def postgres_on_tcp() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with embedded.server(port=port):
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"


@pytest.fixture
async def secured(plain: embedded.Server, tmp_path: Path) -> AsyncIterator[Secured]:
    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "right.pem")
    stranger.cert_pem.write_to_path(tmp_path / "wrong.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    place = parse_qs(urlsplit(plain.dsn).query)
    socket_path = f"{place['host'][0]}/.s.PGSQL.{place['port'][0]}"
    async with terminator(context, socket_path) as tls_port:
        yield Secured(tls_port, str(tmp_path / "right.pem"), str(tmp_path / "wrong.pem"))


async def is_encrypted(dsn: str) -> bool:
    connection = await session.connect(dsn)
    try:
        assert await connection.fetchval("select 1") == 1
        transport = connection._transport  # type: ignore[attr-defined]
        return transport.get_extra_info("ssl_object") is not None
    finally:
        connection.terminate()


@pytest.mark.parametrize("mode", ["prefer", "require", "verify-ca", "verify-full"])
async def test_right_certificate_is_accepted_and_the_session_encrypted(
    secured: Secured, mode: str
) -> None:
    assert await is_encrypted(secured.dsn(mode, secured.right))


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
async def test_certificate_of_a_stranger_is_refused(secured: Secured, mode: str) -> None:
    with pytest.raises(DatabaseUnavailable, match="certificate verify failed"):
        await session.connect(secured.dsn(mode, secured.wrong))


async def test_verify_full_refuses_a_certificate_of_another_host(secured: Secured) -> None:
    assert await is_encrypted(secured.dsn("verify-ca", secured.right, host="localhost"))
    with pytest.raises(DatabaseUnavailable, match="not valid for"):
        await session.connect(secured.dsn("verify-full", secured.right, host="localhost"))


async def test_verify_full_takes_no_server_without_tls(
    postgres_on_tcp: str, secured: Secured
) -> None:
    with pytest.raises(DatabaseUnavailable, match="SSL"):
        await session.connect(f"{postgres_on_tcp}?sslmode=verify-full&sslrootcert={secured.right}")

    assert not await is_encrypted(f"{postgres_on_tcp}?sslmode=prefer")


async def test_verify_full_without_the_authority_says_what_is_missing(secured: Secured) -> None:
    ended = await chimewayd(
        "--dsn", secured.dsn("verify-full"), "status", environment={"HOME": "/nonexistent"}
    )

    assert ended.exit_code in {69, 78}
    assert "root.crt" in ended.stderr or "certificate" in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_daemon_delivers_over_a_verified_connection(
    plain: embedded.Server, secured: Secured
) -> None:
    connection = await session.connect(plain.dsn)
    await migrate.apply(connection)
    async with logins.login(plain.dsn, "chimeway_daemon") as own:
        user = urlsplit(own).netloc.removesuffix("@")
        verified = secured.dsn("verify-full", secured.right, user=user)
        async with running.running(verified, {"bin": {"adapter": "sink"}}) as daemon:
            await engine.insert(connection, channel="bin")
            await daemon.said("attempt_recorded", outcome="succeeded")
    connection.terminate()

    assert daemon.of("database_unprotected") == []


def tls(mode: ssl.VerifyMode, *, checks_name: bool) -> Any:
    return SimpleNamespace(context=SimpleNamespace(verify_mode=mode, check_hostname=checks_name))


@pytest.mark.parametrize(
    ("peer", "tls_object", "said"),
    [
        ("", None, None),
        (("127.0.0.1", 5432), None, None),
        (("::1", 5432, 0, 0), None, None),
        (FAR, None, "not encrypted"),
        (("fe80::1%eth0", 5432, 0, 2), None, "not encrypted"),
        (FAR, tls(ssl.CERT_NONE, checks_name=False), "nobody checked"),
        (FAR, tls(ssl.CERT_REQUIRED, checks_name=False), "nobody checked"),
        (FAR, tls(ssl.CERT_REQUIRED, checks_name=True), None),
    ],
)
def test_weak_connection_is_named(peer: object, tls_object: Any, said: str | None) -> None:
    found = weakness_of(peer, tls_object)

    assert found is None if said is None else said in str(found)
