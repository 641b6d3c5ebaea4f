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
from chimewayd.database_tls import weakness_of
from chimewayd.errors import DatabaseUnavailable
from chimewayd.target import Place

pytestmark = pytest.mark.anyio

FAR = ("192.0.2.7", 5432)
UNUSUAL = "0.0.0.0"  # noqa: S104 - to connect to it reaches this machine, as by a name nobody knows


@dataclass(frozen=True, slots=True)
class Secured:
    """A server with a certificate for 127.0.0.1 and UNUSUAL, and the authorities' certificates."""

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
    authority.issue_cert("127.0.0.1", UNUSUAL).configure_cert(context)
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


def as_if_far(port: int) -> str:
    return f"postgresql://postgres@{UNUSUAL}:{port}/postgres"


async def test_server_of_the_systems_authorities_is_taken_without_an_sslmode(
    secured: Secured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", secured.right)

    assert await is_encrypted(as_if_far(secured.port))


async def test_server_on_another_machine_must_prove_itself_if_the_dsn_says_nothing(
    secured: Secured, postgres_on_tcp: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", secured.wrong)
    without_tls = urlsplit(postgres_on_tcp).port or 0

    with pytest.raises(DatabaseUnavailable, match=r"certificate verify failed.*sslrootcert"):
        await session.connect(as_if_far(secured.port))
    with pytest.raises(DatabaseUnavailable, match=r"rejected SSL.*sslmode=disable"):
        await session.connect(as_if_far(without_tls))
    assert not await is_encrypted(f"{as_if_far(without_tls)}?sslmode=disable")
    assert not await is_encrypted(postgres_on_tcp)


async def test_sslmode_of_the_environment_is_heeded(
    postgres_on_tcp: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGSSLMODE", "prefer")

    assert not await is_encrypted(as_if_far(urlsplit(postgres_on_tcp).port or 0))


async def test_authority_that_is_named_counts_and_not_the_systems(
    secured: Secured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", secured.right)

    with pytest.raises(DatabaseUnavailable, match="certificate verify failed"):
        await session.connect(f"{as_if_far(secured.port)}?sslrootcert={secured.wrong}")


@pytest.mark.parametrize(
    ("host", "is_near"),
    [
        ("/run/postgresql", True),
        ("localhost", True),
        ("127.3.2.1", True),
        ("::1", True),
        ("db", False),
        ("localhost.example.org", False),
        ("192.0.2.7", False),
        ("fe80::1%eth0", False),
    ],
)
def test_only_a_socket_and_loopback_have_no_network_on_the_way(host: str, is_near: bool) -> None:
    assert Place(host, 5432).is_near is is_near


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
