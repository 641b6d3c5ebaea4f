"""Requests through an explicit proxy, with a real one on loopback."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
import trustme

from chimewayd.adapters import make
from chimewayd.errors import ConfigError
from chimewayd.models import Delivery, Outcome, Permanent, Succeeded, Temporary, Unavailable
from chimewayd.testing.receiver import receiver

pytestmark = pytest.mark.anyio

LONG = timedelta(seconds=10)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Proxy:
    """Forwards CONNECT to `target`, whatever it asks for; answers plain requests by itself."""

    def __init__(self, target_port: int, refusal: bytes = b"") -> None:
        self.heads: list[str] = []
        self.url = ""
        self._target_port = target_port
        self._refusal = refusal

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        if self._refusal or not head.startswith("CONNECT "):
            writer.write(self._refusal or OK)
            await writer.drain()
            writer.close()
            return
        there_in, there_out = await asyncio.open_connection("127.0.0.1", self._target_port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        async with anyio.create_task_group() as both:
            both.start_soon(pipe, reader, there_out)
            both.start_soon(pipe, there_in, writer)


async def pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while chunk := await source.read(65536):
            sink.write(chunk)
            await sink.drain()
    except ConnectionError:
        pass
    finally:
        sink.close()


@asynccontextmanager
async def proxy(target_port: int = 0, refusal: bytes = b"") -> AsyncIterator[Proxy]:
    one = Proxy(target_port, refusal)
    async with await asyncio.start_server(one.accept, "127.0.0.1", 0) as server:
        one.url = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield one


async def attempt(delivery: Delivery, url: str, **settings: object) -> Outcome:
    async with make("hooks", "webhook", settings, LONG) as adapter:
        return await adapter.deliver(delivery._replace(recipient=url))


async def test_plain_request_goes_to_the_proxy_with_its_login(delivery: Delivery) -> None:
    async with proxy() as middle:
        outcome = await attempt(
            delivery, "http://hooks.example/x?y=1", proxy=f"http://ada:s3same@{middle.url}"
        )

    assert isinstance(outcome, Succeeded)
    (head,) = middle.heads
    assert head.startswith("POST http://hooks.example/x?y=1 HTTP/1.1\r\n")
    login = base64.b64encode(b"ada:s3same").decode()
    assert f"Proxy-Authorization: Basic {login}\r\n" in head


async def test_https_goes_through_a_tunnel_and_the_receivers_certificate_is_checked(
    delivery: Delivery, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("hooks.example").configure_cert(server)

    async with receiver(server) as hooks, proxy(int(hooks.url.rpartition(":")[2])) as middle:
        settings = {"proxy": f"http://{middle.url}", "ca_file": str(tmp_path / "ca.pem")}
        good = await attempt(delivery, "https://hooks.example/x", **settings)
        bad = await attempt(delivery, "https://elsewhere.example/x", **settings)

    assert isinstance(good, Succeeded)
    assert middle.heads[0].startswith("CONNECT hooks.example:443 HTTP/1.1\r\n")
    assert "webhook-id" not in middle.heads[0]
    assert isinstance(bad, Temporary)


@pytest.mark.parametrize("status", [403, 407, 502])
async def test_refusal_by_the_proxy_is_temporary_because_nothing_reached_the_receiver(
    delivery: Delivery, status: int
) -> None:
    refusal = f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode()

    async with proxy(refusal=refusal) as middle:
        outcome = await attempt(delivery, "https://hooks.example/", proxy=f"http://{middle.url}")

    assert isinstance(outcome, Temporary)
    assert outcome.detail == f"hooks.example:443: the proxy refused to connect: HTTP {status}"


async def test_proxy_that_is_away_is_named_as_such(delivery: Delivery) -> None:
    async with proxy() as middle:
        gone = middle.url

    outcome = await attempt(delivery, "http://hooks.example/", proxy=f"http://{gone}")

    assert isinstance(outcome, Unavailable)
    assert outcome.detail == "hooks.example:80: the proxy cannot be reached"


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "127.0.0.1.",
        "localhost",
        "LocalHost.",
        "a.localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "127。0。0。1",
        "%31%32%37.0.0.1",
        "%6cocalhost",
    ],
)
async def test_internal_address_is_not_asked_of_the_proxy(delivery: Delivery, host: str) -> None:
    async with proxy() as middle:
        outcome = await attempt(delivery, f"http://{host}/", proxy=f"http://{middle.url}")

    assert isinstance(outcome, Permanent)
    assert outcome.detail is not None
    assert outcome.detail.startswith("destination_denied: ")
    assert middle.heads == []


async def test_internal_address_is_asked_of_the_proxy_where_it_is_allowed(
    delivery: Delivery,
) -> None:
    async with proxy() as middle:
        outcome = await attempt(
            delivery,
            "http://10.1.2.3/",
            proxy=f"http://{middle.url}",
            allow_networks=["10.1.0.0/16"],
        )

    assert isinstance(outcome, Succeeded)
    assert len(middle.heads) == 1


@pytest.mark.parametrize("login", ["ada:€uro", "a%3Ada:secret"])
def test_login_that_cannot_be_written_is_refused_at_the_start(login: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make("hooks", "webhook", {"proxy": f"http://{login}@proxy.example:3128"}, LONG)

    assert caught.value.setting == "channels.hooks.settings.proxy"
    assert "secret" not in str(caught.value)
