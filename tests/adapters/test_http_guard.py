"""No spelling of an internal address reaches a listener, whatever resolves or redirects."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from chimewayd.adapters import make
from chimewayd.adapters.http_session import GuardedResolver
from chimewayd.models import Delivery, Outcome, Permanent, Succeeded, Temporary
from chimewayd.testing.receiver import HERE, Answer, receiver

pytestmark = pytest.mark.anyio

LONG = timedelta(seconds=10)

LOOPBACK = [
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "127.0.1",
    "127.255.255.254",
    "2130706433",
    "017700000001",
    "0177.0.0.1",
    "0177.0.0.01",
    "0x7f.0.0.1",
    "0x7f.1",
    "0x7f000001",
    "0X7F000001",
    "0x7f.0x0.0x0.0x1",
    "0",
    "0.0.0.0",  # noqa: S104 - dialled, not bound
    "0x0",
    "00000177.1",
    "127。0。0。1",
    "１２７.0.0.1",  # noqa: RUF001 - the point of it
    "①②⑦.⓪.⓪.①",
    "%31%32%37.0.0.1",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "a.localhost",
    "ip6-localhost",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000:0000:0000:0000:0000:0000:0000:0001]",
    "[::]",
    "[::0001]",
    "[::127.0.0.1]",
    "[::7f00:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::FFFF:7F00:0001]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b:1::127.0.0.1]",
    "[2002:7f00:1::]",
    "[::1%25lo]",
    "[::1%lo]",
    "[::ffff:127.0.0.1%25lo]",
    "[fe80::1%25lo]",
    "example.org@127.0.0.1",
    "example.org:80@127.0.0.1",
    "127.0.0.1@example.org",
    "@127.0.0.1",
    "127.0.0.1\\@example.org",
    "example.org\\@127.0.0.1",
    "example.org%40127.0.0.1",
    "127.0.0.1#@example.org",
    "127.0.0.1\t",
    "127.0.0.1%00.example.org",
    "127.0.0.1%2eexample.org",
]
ELSEWHERE = [
    "10.0.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "0251.0376.0251.0376",
    "2852039166",
    "0xa9fea9fe",
    "172.16.0.1",
    "192.168.0.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "168.63.129.16",
    "[::ffff:169.254.169.254]",
    "[64:ff9b::a9fe:a9fe]",
    "[fd00:ec2::254]",
    "[fe80::1]",
    "[fec0::1]",
    "[ff02::1]",
    "[2001:db8::1]",
    "[3fff::1]",
    "[5f00::1]",
]


class Witness:
    """Counts who connects to this machine, by whichever of its addresses."""

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()


@asynccontextmanager
async def witness() -> AsyncIterator[Witness]:
    seen = Witness()
    both = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    async with await asyncio.start_server(seen.accept, sock=both) as server:
        seen.port = server.sockets[0].getsockname()[1]
        yield seen


class FakeNames:
    """Stands in for the system's resolver: each look-up of a name takes its next answer."""

    def __init__(self, answers: Mapping[str, Sequence[Sequence[str]]]) -> None:
        self._answers = {name: list(each) for name, each in answers.items()}
        self.look_ups: list[str] = []

    def getaddrinfo(self, host: str, port: int, **_hints: int) -> list[Any]:
        self.look_ups.append(host)
        answers = self._answers[host]
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                socket.IPPROTO_TCP,
                "",
                (address, port, 0, 0) if ":" in address else (address, port),
            )
            for address in addresses
        ]


async def attempt(delivery: Delivery, url: str, **settings: object) -> Outcome:
    async with make("hooks", "webhook", settings, LONG) as adapter:
        return await adapter.deliver(delivery._replace(recipient=url))


def is_refused(outcome: Outcome) -> bool:
    """Whether nothing was dialled: denied, no URL of ours, or no name of anything."""
    match outcome:
        case Permanent(detail=str(detail)):
            return detail.startswith(("destination_denied: ", "recipient "))
        case Temporary(detail=str(detail)):
            return "the host name does not resolve" in detail
        case _:
            return False


@pytest.mark.parametrize("host", LOOPBACK)
async def test_no_spelling_of_loopback_reaches_a_listener(delivery: Delivery, host: str) -> None:
    async with witness() as seen:
        outcome = await attempt(delivery, f"http://{host}:{seen.port}/")

    assert seen.connections == 0
    assert is_refused(outcome), outcome


@pytest.mark.parametrize("host", ELSEWHERE)
async def test_no_spelling_of_an_internal_address_is_dialled(delivery: Delivery, host: str) -> None:
    outcome = await attempt(delivery, f"http://{host}/latest/meta-data/")

    assert is_refused(outcome), outcome


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.9", "127。0。0。1", "①②⑦.⓪.⓪.①", "[::1]", "[::ffff:127.0.0.1]"],
)
async def test_spelling_reaches_the_listener_where_it_is_allowed(
    delivery: Delivery, host: str
) -> None:
    async with witness() as seen:
        outcome = await attempt(delivery, f"http://{host}:{seen.port}/", **HERE)

    assert isinstance(outcome, Succeeded)
    assert seen.connections == 1


async def test_refusal_names_the_address_the_rule_and_the_setting(delivery: Delivery) -> None:
    outcome = await attempt(delivery, "http://169.254.169.254/?token=t0ps3cret")

    assert outcome == Permanent(
        detail="destination_denied: 169.254.169.254:80: 169.254.169.254 is in 169.254.169.254/32 "
        "(cloud metadata); the channel's setting allow_networks can allow it"
    )


async def test_refusal_names_the_address_that_a_name_leads_to(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = FakeNames({"hooks.example": [["10.1.2.3"]]})
    monkeypatch.setattr(socket, "getaddrinfo", names.getaddrinfo)

    outcome = await attempt(delivery, "http://hooks.example/")

    assert isinstance(outcome, Permanent)
    assert outcome.detail is not None
    assert "hooks.example:80: 10.1.2.3 is in 10.0.0.0/8 (private use)" in outcome.detail


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["0.0.0.0"],  # noqa: S104 - dialled, not bound
        ["127.0.0.2", "127.0.0.1"],
        ["127.0.0.1", "127.0.0.2"],
        ["127.0.0.2", "::1"],
        ["::1", "127.0.0.2"],
    ],
)
async def test_name_with_any_denied_address_is_not_dialled(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch, addresses: Sequence[str]
) -> None:
    names = FakeNames({"hooks.example": [addresses]})
    monkeypatch.setattr(socket, "getaddrinfo", names.getaddrinfo)

    async with witness() as seen:
        url = f"http://hooks.example:{seen.port}/"
        outcome = await attempt(delivery, url, allow_networks=["127.0.0.2/32"])

    assert isinstance(outcome, Permanent)
    assert seen.connections == 0


async def test_name_that_is_rebound_is_judged_by_the_address_that_is_dialled(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = FakeNames({"hooks.example": [["127.0.0.2"], ["127.0.0.1"]]})
    monkeypatch.setattr(socket, "getaddrinfo", names.getaddrinfo)

    async with witness() as seen:
        url = f"http://hooks.example:{seen.port}/"
        first = await attempt(delivery, url, allow_networks=["127.0.0.2/32"])
        look_ups, connections = len(names.look_ups), seen.connections
        second = await attempt(delivery, url, allow_networks=["127.0.0.2/32"])

    assert isinstance(first, Succeeded)
    # Looked up once: what was judged is what was dialled.
    assert (look_ups, connections) == (1, 1)
    assert isinstance(second, Permanent)
    assert seen.connections == 1


async def test_socket_is_guarded_even_if_the_resolver_is_not(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def trusting(self: GuardedResolver, host: str, port: int, family: int) -> list[Any]:  # noqa: ARG001 - as the resolver is called
        return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": 2, "proto": 6}]

    monkeypatch.setattr(GuardedResolver, "resolve", trusting)

    async with witness() as seen:
        outcome = await attempt(delivery, f"http://hooks.example:{seen.port}/")

    assert isinstance(outcome, Permanent)
    assert seen.connections == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
async def test_redirect_reaches_no_listener(delivery: Delivery, status: int, host: str) -> None:
    async with receiver() as hooks, witness() as seen:
        hooks.script("/", Answer(status=status, headers={"Location": f"http://{host}:{seen.port}"}))
        outcome = await attempt(delivery, hooks.url + "/", **HERE)

    assert isinstance(outcome, Permanent)
    assert seen.connections == 0
