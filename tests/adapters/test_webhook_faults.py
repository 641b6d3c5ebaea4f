"""The webhook adapter when the network, the receiver or the recipient is at fault."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta

import anyio
import pytest

from chimewayd.adapters import make
from chimewayd.models import (
    Delivery,
    Outcome,
    Permanent,
    Succeeded,
    Temporary,
    TimedOut,
    Uncertain,
)
from chimewayd.testing.receiver import HERE, Answer, Fault, receiver

pytestmark = pytest.mark.anyio

SHORT = timedelta(milliseconds=200)
LONG = timedelta(seconds=10)


async def attempt(
    delivery: Delivery,
    url: str,
    settings: Mapping[str, object] | None = None,
    within: timedelta = LONG,
    payload_json: str = "{}",
) -> Outcome:
    async with make("hooks", "webhook", {**HERE, **(settings or {})}, within) as adapter:
        return await adapter.deliver(delivery._replace(recipient=url, payload_json=payload_json))


@asynccontextmanager
async def server_that(closes: bool) -> AsyncIterator[int]:
    """A TCP server that speaks no protocol: it drops each connection, or holds it in silence."""
    writers = []

    async def accept(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        if closes:
            writer.transport.abort()

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        for writer in writers:
            writer.transport.abort()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_refused_connection_is_temporary(delivery: Delivery) -> None:
    outcome = await attempt(delivery, f"http://127.0.0.1:{free_port()}/?token=t0ps3cret")

    assert isinstance(outcome, Temporary)
    assert outcome.detail is not None
    assert "cannot connect" in outcome.detail
    assert "t0ps3cret" not in outcome.detail


async def test_unknown_host_is_temporary(delivery: Delivery) -> None:
    outcome = await attempt(delivery, "http://nowhere.invalid/")

    assert isinstance(outcome, Temporary)
    assert outcome.detail is not None
    assert "does not resolve" in outcome.detail


async def test_broken_tls_handshake_is_temporary_because_nothing_was_sent(
    delivery: Delivery,
) -> None:
    async with server_that(closes=True) as port:
        outcome = await attempt(delivery, f"https://127.0.0.1:{port}/")

    assert isinstance(outcome, Temporary)


async def test_hang_before_the_request_is_a_timeout_with_nothing_sent(delivery: Delivery) -> None:
    async with server_that(closes=False) as port:
        outcome = await attempt(
            delivery, f"https://127.0.0.1:{port}/?token=t0ps3cret", within=SHORT
        )

    assert isinstance(outcome, TimedOut)
    assert not outcome.request_sent
    assert "t0ps3cret" not in repr(outcome)


async def test_connect_timeout_ends_the_attempt_before_the_whole_deadline(
    delivery: Delivery,
) -> None:
    settings = {"connect_timeout": "100ms"}

    async with server_that(closes=False) as port:
        with anyio.fail_after(10):
            outcome = await attempt(
                delivery, f"https://127.0.0.1:{port}/", settings, timedelta(hours=1)
            )

    assert isinstance(outcome, TimedOut)
    assert not outcome.request_sent


async def test_hang_after_the_request_is_a_timeout_with_the_request_sent(
    delivery: Delivery,
) -> None:
    async with receiver() as hooks:
        hooks.script("/", Answer(fault=Fault.HANG_BEFORE_ANSWER))
        outcome = await attempt(delivery, hooks.url + "/", within=SHORT)

    assert isinstance(outcome, TimedOut)
    assert outcome.request_sent


async def test_first_byte_timeout_ends_the_attempt_before_the_whole_deadline(
    delivery: Delivery,
) -> None:
    async with receiver() as hooks:
        hooks.script("/", Answer(fault=Fault.HANG_BEFORE_ANSWER))
        with anyio.fail_after(10):
            outcome = await attempt(
                delivery, hooks.url + "/", {"first_byte_timeout": "100ms"}, timedelta(hours=1)
            )

    assert isinstance(outcome, TimedOut)
    assert outcome.request_sent


async def test_connection_closed_without_an_answer_is_uncertain(delivery: Delivery) -> None:
    async with receiver() as hooks:
        hooks.script("/", Answer(fault=Fault.CLOSE_BEFORE_ANSWER))
        outcome = await attempt(delivery, hooks.url + "/?token=t0ps3cret")

    assert isinstance(outcome, Uncertain)
    assert "t0ps3cret" not in repr(outcome)
    assert len(hooks.requests) == 1


async def test_answer_that_is_not_http_is_uncertain(delivery: Delivery) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"220 ready for mail\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(babble, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        outcome = await attempt(delivery, f"http://127.0.0.1:{port}/")

    assert isinstance(outcome, Uncertain)


@pytest.mark.parametrize("fault", [Fault.HANG_IN_BODY, Fault.CLOSE_IN_BODY])
@pytest.mark.parametrize(("status", "kind"), [(200, Succeeded), (500, Temporary)])
async def test_status_line_decides_even_if_the_body_fails(
    delivery: Delivery, fault: Fault, status: int, kind: type[Outcome]
) -> None:
    async with receiver() as hooks:
        hooks.script("/", Answer(status=status, body=b"as far as", fault=fault))
        outcome = await attempt(delivery, hooks.url + "/", within=SHORT)

    assert type(outcome) is kind
    assert outcome.response == "as far as"


async def test_put_is_not_repeated_on_a_broken_kept_alive_connection(delivery: Delivery) -> None:
    adapter = make("hooks", "webhook", {**HERE, "method": "PUT"}, LONG)

    async with receiver() as hooks, adapter:
        hooks.script("/", 200, Answer(fault=Fault.CLOSE_BEFORE_ANSWER))
        first = await adapter.deliver(delivery._replace(recipient=hooks.url + "/"))
        second = await adapter.deliver(delivery._replace(recipient=hooks.url + "/"))

    assert isinstance(first, Succeeded)
    assert isinstance(second, Uncertain)
    assert len(hooks.requests) == 2


@pytest.mark.parametrize(
    "recipient",
    [
        "ada@example.org",
        "",
        "/path",
        "//host/path",
        "ftp://host.example/",
        "file:///etc/passwd",
        "unix:///run/socket",
        "javascript:alert(1)",
        "http://",
        "http:///path",
        "http://:80/",
        "http://host.example:notaport/",
        "http://host.example:99999/",
        "http://[::1",
        "http://[zz]/",
        "http://us3r:t0ps3cret@host.example/",
        "http://us3r@host.example/",
        "http://@host.example/",
        "http://host.example/a b",
        " http://host.example/",
        "http://host.example/\r\nX-Injected: 1",
        "http://host.example/\x00",
        "http://127.1/?t0ps3cret",
        "http://" + "a" * 64 + ".example/?t0ps3cret",
        "http://a..example/?t0ps3cret",
    ],
)
async def test_recipient_that_is_no_url_of_ours_is_permanent(
    delivery: Delivery, recipient: str
) -> None:
    outcome = await attempt(delivery, recipient)

    assert isinstance(outcome, Permanent)
    assert outcome.detail is not None
    assert outcome.detail.startswith("recipient ")
    assert "t0ps3cret" not in outcome.detail
