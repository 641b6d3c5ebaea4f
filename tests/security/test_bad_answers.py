"""Bad recipients, headers and answers: where nothing is called, and what a bad answer comes to.

Each case keeps its number; bad_inputs.md lists them all, with what is tried where.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from uuid import UUID

import pytest

from chimewayd.adapters import http_outcome, make
from chimewayd.adapters.http_request import refuse_header
from chimewayd.adapters.mail_address import parse_address
from chimewayd.adapters.mail_payload import parse_payload
from chimewayd.errors import ConfigError, ConfigErrors
from chimewayd.models import (
    Delivery,
    Outcome,
    Permanent,
    Succeeded,
    Temporary,
    Throttled,
    Uncertain,
)
from chimewayd.testing.receiver import HERE

pytestmark = pytest.mark.anyio

UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
SECRET = "whsec_cGxhbnRlZC1jYW5hcnktb2YtMzItYnl0ZXMtISE="
TIMEOUT = timedelta(seconds=2)


def delivery(recipient: str, payload_json: str = "{}") -> Delivery:
    some_id = UUID("01a202e3-f297-7352-ac3f-4b42c821f228")
    nothing = (None,) * 4
    return Delivery(some_id, 1, 1, "hooks", recipient, payload_json, *nothing, "{}", 5, 0, 0)


async def call(
    url: str, given_settings: Mapping[str, object] | None = None, payload_json: str = "{}"
) -> Outcome:
    async with make("hooks", "webhook", dict(given_settings or {}), TIMEOUT) as adapter:
        return await adapter.deliver(delivery(url, payload_json))


@asynccontextmanager
async def server(
    answer: bytes, *, repeats: bool = False, pause: float = 0.0
) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that says these bytes to whatever is asked, once or for ever; and what it heard."""
    heard: list[bytes] = []
    at_work: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        at_work.add(task)
        with suppress(OSError, EOFError, asyncio.CancelledError):
            heard.append(await reader.readuntil(b"\r\n\r\n"))
            while True:
                writer.write(answer)
                await writer.drain()
                await asyncio.sleep(pause)
                if not repeats:
                    break
        writer.transport.abort() if repeats else writer.close()

    running = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{running.sockets[0].getsockname()[1]}/", heard
    finally:
        running.close()
        for task in at_work:
            task.cancel()
        await asyncio.gather(*at_work)


INSIDE = {
    58: "http://127.0.0.1:{port}/",
    59: "http://2130706433:{port}/",
    60: "http://0x7f.1:{port}/",
    61: "http://[::1]:{port}/",
    62: "http://[::ffff:127.0.0.1]:{port}/",
    63: "http://localhost:{port}/",
    64: "http://user:pw@127.0.0.1:{port}/",
    65: "http://example.com@127.0.0.1:{port}/",
    66: "http://127.0.0.1:{port}#@example.com/",
    67: "http://127.0.0.1:99999/",
    68: "http://127.0.0.1:0/",
    69: "http://①②⑦.⓪.⓪.①:{port}/",
    70: "http://127.0.0.1:{port}/a\r\nX-Evil: 1",
    71: "file:///etc/passwd",
    72: "gopher://127.0.0.1:{port}/",
    73: "unix:/var/run/docker.sock",
    74: "//127.0.0.1:{port}/",
    75: "",
    76: "http:///nohost",
    77: "http://example.com\\@127.0.0.1:{port}/",
    78: "http://127.0.0.1 .example:{port}/",
    79: f"http://{'a' * 300}.example/",
    137: "http://127.0.0.1.:{port}/",
    138: "http://[fe80::1%25lo]:{port}/",
    139: "http://0:{port}/",
    140: "http://[::]:{port}/",
    141: "javascript:alert(1)",
    142: "http://169.254.169.254/latest/meta-data/",
}


@pytest.mark.parametrize(("number", "url"), INSIDE.items())
async def test_address_inside_or_url_that_is_none_is_called_by_nobody(
    number: int, url: str
) -> None:
    async with server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as (own, heard):
        port = own.rstrip("/").rpartition(":")[2]

        outcome = await call(url.replace("{port}", port))

        assert heard == []
    assert isinstance(outcome, Permanent), (number, outcome)
    assert (outcome.detail or "").startswith(("destination_denied: ", "recipient "))
    assert "pw" not in (outcome.detail or "").split()


@pytest.mark.parametrize("variable", ["http_proxy", "HTTPS_PROXY", "ALL_PROXY"])
async def test_proxy_of_the_environment_is_not_asked_88(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    async with server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as (proxy, heard):
        monkeypatch.setenv(variable, proxy)

        await call("http://nobody.invalid/")

        assert heard == []


HEADERS = {
    89: ("X-A", "b\r\nBcc: c"),
    90: ("X A", "b"),
    91: ("X-A\r\nX-B", "c"),
    92: ("", "b"),
    93: ("X-Ä", "b"),
    94: ("X-A", "ä"),
    95: ("X-A", "b\u2028c"),
    96: ("Content-Length", "5"),
    97: ("Host", "evil.example"),
    98: ("Transfer-Encoding", "chunked"),
    143: ("Webhook-Signature", "v1,forged"),
    144: ("X-A", "b\x00c"),
    145: ("Connection", "close"),
}


@pytest.mark.parametrize(("name", "value"), HEADERS.values(), ids=map(str, HEADERS))
def test_header_that_is_none_or_not_the_operators_stops_the_start(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        refuse_header(name, value)
    with pytest.raises((ConfigError, ConfigErrors)) as refused:
        make("hooks", "webhook", {"headers": {name: value}}, TIMEOUT)
    assert value not in str(refused.value) or len(value) < 6


OK = b"HTTP/1.1 200 OK\r\n"
ANSWERS: dict[int, tuple[bytes, type[Outcome] | None]] = {
    # None: any outcome but success.
    105: (b"garbage\r\n\r\n", None),
    106: (b"", None),
    107: (OK + b"Content-Length: 100\r\n\r\nshort", Succeeded),
    108: (OK + b"Content-Length: -1\r\n\r\n", None),
    109: (OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", None),
    110: (b"HTTP/1.1 000 None\r\n\r\n", None),
    111: (b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", None),
    # Accepted, but what follows is no answer: a repeat carries the same id.
    112: (b"HTTP/1.1 204 No Content\r\n\r\nbody", Uncertain),
    113: (
        b"HTTP/1.1 429 Slow\r\nRetry-After: 99999999999999999999\r\nContent-Length: 0\r\n\r\n",
        Throttled,
    ),
    115: (
        b"HTTP/1.1 400 Bad\r\nContent-Length: 24\r\n\r\n\x1b[31mred\x07\xff\xfe\r\nfake: line",
        Temporary,
    ),
    146: (b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\n\r\n", Permanent),
    147: (b"HTTP/1.1 500 \x1b[2J\r\nContent-Length: 0\r\n\r\n", None),
    148: (b"ICY 200 OK\r\n\r\n", None),
}


@pytest.mark.parametrize("number", ANSWERS)
async def test_bad_answer_is_an_outcome_and_clean(number: int) -> None:
    answer, expected = ANSWERS[number]
    async with server(answer) as (url, _):
        outcome = await call(url, HERE)

    if expected is None:
        assert not isinstance(outcome, Succeeded)
    else:
        assert isinstance(outcome, expected), outcome
    told = [getattr(outcome, name, None) or "" for name in ("detail", "response")]
    assert UNPRINTABLE.findall("".join(told)) == []
    assert getattr(outcome, "retry_after", None) in (None, http_outcome.LONGEST_RETRY_AFTER)


@pytest.mark.parametrize(
    ("number", "answer", "pause"),
    [
        (99, b"x", 0.05),
        (100, b"X-Drip: 1\r\n", 0.05),
        (101, b"X-Endless: " + b"a" * 4096 + b"\r\n", 0.0),
        (102, b"HTTP/1.1 100 Continue\r\n\r\n", 0.0),
        (103, OK + b"Transfer-Encoding: chunked\r\n\r\n400\r\n" + b"a" * 1024 + b"\r\n", 0.0),
    ],
)
async def test_endless_answer_ends_within_the_deadline(
    number: int, answer: bytes, pause: float
) -> None:
    async with server(answer, repeats=True, pause=pause) as (url, _):
        with suppress(TimeoutError):  # the daemon's own deadline, were the adapter to miss it
            outcome = await asyncio.wait_for(call(url, HERE), 10)
            assert number == 103 or not isinstance(outcome, Succeeded)
            return
    raise AssertionError(f"{number} had no end")


@pytest.mark.parametrize(
    "address",
    [
        "a@x, b@y",
        "group: a@x, b@y;",
        "a@x; b@y",
        "a@",
        "@x",
        "a",
        "a@x\r\nRCPT TO:<b@y>",
        "a@x\x00",
        "a@x\u2028b",
        "<a@x",
        "a@b@c",
        "a b@x",
        "a@x y",
        f"{'a' * 65}@x",
        f"a@{'b' * 64}.example",
        f"a@{'b.' * 130}example",
    ],
)
def test_mail_address_that_is_not_exactly_one_is_refused_119_to_121(address: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_address(address)


@pytest.mark.parametrize("end", ["\r\nBcc: x@y", "\nx", "\rx", "\u2028x", "\x00x", "\x1b[0m"])
def test_mail_subject_with_a_line_of_its_own_is_refused_117_118(end: str) -> None:
    payload = json.dumps({"text": "Hi", "subject": f"Hi{end}"})

    with pytest.raises(ValueError, match=r"\w"):
        parse_payload(payload)
