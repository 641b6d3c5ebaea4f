"""What strangers do to the HTTP endpoint harms neither it nor the deliveries."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress

import anyio
import pytest
from endpoint_client import ANY_PORT, address_of, ask
from engine import Connection, insert
from running import WAIT_SECONDS, Daemon, running

from chimewayd.http_door import CONNECTIONS

pytestmark = pytest.mark.anyio

SINK = {"sink": {"adapter": "sink"}}
HALF_A_REQUEST = b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "


@pytest.fixture
async def daemon(dsn: str) -> AsyncIterator[Daemon]:
    async with running(dsn, SINK, http_listen=ANY_PORT) as running_daemon:
        yield running_daemon


async def opened(stack: AsyncExitStack, address: str, said: bytes) -> asyncio.StreamReader:
    """Open a connection and say something; it is closed with the stack."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    stack.callback(writer.close)
    writer.write(said)
    return reader


async def answered(address: str, said: bytes) -> bytes:
    """Say something and return what comes until the connection is closed."""
    async with AsyncExitStack() as stack:
        reader = await opened(stack, address, said)
        with anyio.fail_after(WAIT_SECONDS):
            return await reader.read()


async def until_closed(reader: asyncio.StreamReader) -> None:
    with anyio.fail_after(WAIT_SECONDS), suppress(ConnectionError):
        while await reader.read(65_536):
            pass


async def test_slow_requests_keep_nobody_out_and_delay_no_delivery(
    daemon: Daemon, connection: Connection
) -> None:
    address = await address_of(daemon)
    async with AsyncExitStack() as stack:
        for _ in range(5 * CONNECTIONS):
            await opened(stack, address, HALF_A_REQUEST)

        await insert(connection, channel="sink")
        await daemon.said("attempt_recorded")
        answers = [(await ask(address, path)).status for path in ("/livez", "/metrics")]
        held = len(os.listdir(f"/proc/{daemon.process.pid}/fd"))  # noqa: PTH208 - names will do

    assert answers == [200, 200]
    assert held < 2 * CONNECTIONS


async def test_request_that_never_ends_is_cut(daemon: Daemon) -> None:
    async with AsyncExitStack() as stack:
        reader = await opened(stack, await address_of(daemon), HALF_A_REQUEST)

        await until_closed(reader)


async def test_answer_that_nobody_reads_is_cut(daemon: Daemon) -> None:
    address = await address_of(daemon)
    pipelined = b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 1000
    async with AsyncExitStack() as stack:
        reader = await opened(stack, address, pipelined)

        await until_closed(reader)

        assert (await ask(address, "/livez")).status == 200


async def test_one_connection_gets_one_answer(daemon: Daemon) -> None:
    twice = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 2

    answer = await answered(await address_of(daemon), twice)

    assert answer.count(b"HTTP/1.1 200 OK") == 1
    assert b"Connection: close" in answer


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"GET /" + b"x" * 10_000 + b" HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 10_000 + b"\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 1000 + b"\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400"),
        (b"GET /../../etc/passwd HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"404"),
        (b"GET /livez\x1b[31m HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"4"),
        (b"POST /status HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999\r\n\r\n", b"405"),
        (b"GET /status HTTP/1.1\r\nHost: evil\r\n\r\n", b"421"),
    ],
)
async def test_bad_request_is_refused_and_fills_no_log(
    daemon: Daemon, said: bytes, status: bytes
) -> None:
    address = await address_of(daemon)

    answer = await answered(address, said)
    ready = await ask(address, "/readyz")
    stopped = await daemon.stop()

    assert answer.split(b" ")[1].startswith(status)
    assert ready.status == 200
    assert [line for line in stopped.lines if line["level"] != "info"] == []
    assert daemon.other_output == []


@pytest.mark.parametrize(
    "accept",
    [
        'application/openmetrics-text; version="1.0.0"',
        "application/openmetrics-text; version=new",
        "text/plain; version=1.x",
    ],
)
async def test_scraper_that_wants_a_version_that_is_none_gets_the_page(
    daemon: Daemon, accept: str
) -> None:
    page = await ask(await address_of(daemon), "/metrics", headers={"Accept": accept})

    assert page.status == 200
    assert "# TYPE chimewayd_ready gauge" in page.text
    assert daemon.of("page_failed") == []
