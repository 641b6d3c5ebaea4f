"""Servers that keep to no rule: certificates that are none, answers that unfold, endless words.

Each case keeps its number, as in bad_inputs.md.
"""

import asyncio
import gzip
import ssl
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from deliveries import delivery as a_delivery
from mailing import mail_to, smtp

from chimewayd.adapters import make
from chimewayd.models import Delivery, Outcome, Succeeded, Temporary, Throttled
from chimewayd.testing.receiver import HERE, Answer, receiver

pytestmark = pytest.mark.anyio

MEBIBYTE = 1024 * 1024
TIMEOUT = timedelta(seconds=2)
YESTERDAY = datetime.now(UTC) - timedelta(days=1)
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def delivery(recipient: str) -> Delivery:
    return a_delivery()._replace(recipient=recipient)


async def call(server: ssl.SSLContext, folder: Path, authority: trustme.CA) -> Outcome:
    authority.cert_pem.write_to_path(folder / "ca.pem")
    settings = {**HERE, "ca_file": str(folder / "ca.pem")}
    async with receiver(server) as hooks, make("hooks", "webhook", settings, TIMEOUT) as adapter:
        return await adapter.deliver(delivery(hooks.url))


def server_context() -> ssl.SSLContext:
    return ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)


async def test_certificate_that_has_expired_is_refused_85(tmp_path: Path) -> None:
    authority, server = trustme.CA(), server_context()
    authority.issue_cert("127.0.0.1", not_after=YESTERDAY).configure_cert(server)

    outcome = await call(server, tmp_path, authority)

    assert isinstance(outcome, Temporary)
    assert "certificate was refused" in (outcome.detail or "")


async def test_certificate_that_signed_itself_is_refused_86(tmp_path: Path) -> None:
    itself, server = trustme.CA(), server_context()
    pair = tmp_path / "itself.pem"
    pair.write_bytes(itself.private_key_pem.bytes() + itself.cert_pem.bytes())
    server.load_cert_chain(pair)

    outcome = await call(server, tmp_path, trustme.CA())

    assert isinstance(outcome, Temporary)
    assert "certificate was refused" in (outcome.detail or "")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_server_that_speaks_only_tls_1_0_is_not_spoken_to_87(tmp_path: Path) -> None:
    authority, server = trustme.CA(), server_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    right = await call(server, tmp_path, authority)
    server.set_ciphers("ALL:@SECLEVEL=0")
    server.minimum_version = server.maximum_version = ssl.TLSVersion.TLSv1

    outcome = await call(server, tmp_path, authority)

    assert isinstance(right, Succeeded)
    assert isinstance(outcome, Temporary)


async def test_answer_that_unfolds_to_200_mb_takes_no_memory_104() -> None:
    bomb = gzip.compress(bytes(200 * MEBIBYTE), 1)
    async with receiver() as hooks, make("hooks", "webhook", HERE, TIMEOUT) as adapter:
        hooks.script("/", Answer(status=500, headers={"Content-Encoding": "gzip"}, body=bomb))
        tracemalloc.start()
        try:
            outcome = await adapter.deliver(delivery(f"{hooks.url}/"))
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert isinstance(outcome, Temporary)
    assert peak_bytes < 16 * MEBIBYTE


async def test_refusal_and_success_on_one_connection_are_told_apart_116() -> None:
    async with receiver() as hooks, make("hooks", "webhook", HERE, TIMEOUT) as adapter:
        hooks.script("/", 503, 200)
        first = await adapter.deliver(delivery(f"{hooks.url}/"))
        second = await adapter.deliver(delivery(f"{hooks.url}/"))

    assert isinstance(first, Temporary)
    assert isinstance(second, Succeeded)
    assert hooks.connections_ever == 1


@asynccontextmanager
async def mail_server(serve: Serve) -> AsyncIterator[int]:
    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, EOFError):
            await serve(reader, writer)
        writer.transport.abort()

    server = await asyncio.start_server(served, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_greeting_of_ten_megabytes_is_bounded_124() -> None:
    async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _line in range(10 * 1024):
            writer.write(b"220-" + b"a" * 1018 + b"\r\n")
            await writer.drain()
        await asyncio.sleep(60)

    async with mail_server(babble) as port, smtp(port, TIMEOUT) as adapter:
        outcome = await asyncio.wait_for(adapter.deliver(mail_to(delivery("ada@x.example"))), 20)

    assert not isinstance(outcome, Succeeded)
    assert len(repr(outcome)) < 4096


async def test_relay_that_ends_in_the_middle_of_a_mail_is_no_success_125() -> None:
    async def end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        for answer in (b"250 here", b"250 OK", b"250 OK", b"354 go on"):
            await reader.readuntil(b"\r\n")
            writer.write(answer + b"\r\n")
        await reader.readuntil(b"\r\n")
        writer.write(b"421 4.3.2 shutting down\r\n")
        await writer.drain()

    mail = mail_to(delivery("ada@x.example"), text=f"{'x' * 70}\n" * 20_000)
    async with mail_server(end) as port, smtp(port) as adapter:
        outcome = await adapter.deliver(mail)

    assert isinstance(outcome, Temporary | Throttled), outcome
