"""Adapters by themselves, beside a bare loop over the same library against the same server."""

import asyncio
import base64
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from functools import cache
from pathlib import Path
from typing import TypeAlias
from uuid import uuid4

import aiohttp
import aiosmtplib

from bench import processes
from bench.environments import inherited
from bench.run import Run
from chimewayd.adapters import make
from chimewayd.models import Delivery, Succeeded

ROW = "adapters"
WORKERS = 20
TURNS = 10
START_SECONDS = 10.0
TIMEOUT = timedelta(seconds=10)
HTTP_SERVER = Path(__file__).parents[1] / "http_server.py"
SMTP_SERVER = Path(__file__).parents[1] / "smtp_server.py"
BARE_HTTP = "bare aiohttp"
BARE_SMTP = "bare aiosmtplib"
SAME_MAIL = "bare aiosmtplib, one mail over and over"
TEXT = "x" * 980
BODY = f'{{"subject": "Hello", "text": "{TEXT}"}}'
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
WEBHOOKS: Mapping[str, Mapping[str, object]] = {
    "webhook": {"allow_networks": ["127.0.0.0/8"]},
    "webhook, signed": {"allow_networks": ["127.0.0.0/8"], "secret": SECRET},
}

FROM = "shop@example.org"
SENDER = f"Shop <{FROM}>"
RECIPIENT = "ada@example.org"
MAIL_CHANNEL: Mapping[str, object] = {"tls": "none", "from": SENDER, "connections": WORKERS}

Call: TypeAlias = Callable[[], Awaitable[None]]


async def measure(run: Run) -> None:
    """Take each in short turns against one server: what else the machine does hits all alike."""
    async with _server(run, HTTP_SERVER) as port, AsyncExitStack() as stack:
        url = f"http://127.0.0.1:{port}/"
        calls = {BARE_HTTP: await stack.enter_async_context(_bare_http(url))}
        for name, settings in WEBHOOKS.items():
            calls[name] = await stack.enter_async_context(_adapter("webhook", url, settings))
        await _compare(run, calls, "requests/s", BARE_HTTP)
    async with _server(run, SMTP_SERVER) as port, AsyncExitStack() as stack:
        settings = {"host": "127.0.0.1", "port": port, **MAIL_CHANNEL}
        calls = {
            BARE_SMTP: await stack.enter_async_context(_bare_smtp(port, _new_mail)),
            SAME_MAIL: await stack.enter_async_context(_bare_smtp(port, _same_mail)),
            "smtp": await stack.enter_async_context(_adapter("smtp", RECIPIENT, settings)),
        }
        await _compare(run, calls, "mails/s", BARE_SMTP)
        run.figures.add_ratio(ROW, f"smtp / {SAME_MAIL}", (ROW, "smtp"), (ROW, SAME_MAIL))


async def _compare(run: Run, calls: Mapping[str, Call], unit: str, bare: str) -> None:
    rates = await _rates(calls, run.scale.adapter_seconds)
    for name, rate in rates.items():
        run.figures.add(ROW, name, unit, rate)
    for name in calls.keys() - {bare, SAME_MAIL}:
        run.figures.add_ratio(ROW, f"{name} / {bare}", (ROW, name), (ROW, bare))


async def _rates(calls: Mapping[str, Call], seconds: float) -> Mapping[str, float]:
    """Call by all workers at once, each way for so long in all; return calls a second."""
    counts, elapsed = dict.fromkeys(calls, 0), dict.fromkeys(calls, 0.0)
    for nth in range(TURNS + 1):
        for name, call in calls.items():
            begin = time.perf_counter()
            workers = (_work(call, begin + seconds / TURNS) for _ in range(WORKERS))
            made = sum(await asyncio.gather(*workers))
            if nth:  # the first turn opens the connections
                counts[name] += made
                elapsed[name] += time.perf_counter() - begin
    return {name: counts[name] / elapsed[name] for name in calls}


async def _work(call: Call, end: float) -> int:
    count = 0
    while time.perf_counter() < end:
        await call()
        count += 1
    return count


@asynccontextmanager
async def _server(run: Run, script: Path) -> AsyncIterator[int]:
    argv = [sys.executable, f"{script}"]
    async with processes.child(argv, inherited(), run.log, says=True) as server:
        yield int(await server.line("port", START_SECONDS))


@asynccontextmanager
async def _bare_http(url: str) -> AsyncIterator[Call]:
    headers = {"Content-Type": "application/json"}
    body = BODY.encode()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def call() -> None:
            async with session.post(url, data=body, headers=headers) as response:
                await response.read()

        yield call


@asynccontextmanager
async def _bare_smtp(port: int, mail: Callable[[], bytes]) -> AsyncIterator[Call]:
    """Send over connections that are kept, as many as there are workers."""
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(aiosmtplib.SMTP(hostname="127.0.0.1", port=port))
            for _ in range(WORKERS)
        ]

        async def call() -> None:
            client = clients.pop()
            await client.sendmail(FROM, [RECIPIENT], mail())
            clients.append(client)

        yield call


def _new_mail() -> bytes:
    """Write a mail by the standard library alone, as each delivery needs one of its own."""
    message = EmailMessage(SMTP)
    message["From"] = SENDER
    message["To"] = RECIPIENT
    message["Subject"] = "Hello"
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = f"<{uuid4()}@example.org>"
    message.set_content(TEXT)
    return message.as_bytes()


@cache
def _same_mail() -> bytes:
    return _new_mail()


@asynccontextmanager
async def _adapter(
    kind: str, recipient: str, settings: Mapping[str, object]
) -> AsyncIterator[Call]:
    delivery = Delivery(
        delivery_id=uuid4(),
        claim_id=1,
        attempt_number=1,
        channel="bench",
        recipient=recipient,
        payload_json=BODY,
        tenant_id=None,
        notification_key=None,
        correlation_id=None,
        idempotency_key=None,
        metadata_json="{}",
        max_attempts=None,
        attempts_before=0,
        lost_count=0,
    )
    async with make("bench", kind, settings, TIMEOUT) as adapter:

        async def call() -> None:
            outcome = await adapter.deliver(delivery)
            if not isinstance(outcome, Succeeded):
                raise RuntimeError(f"a delivery did not succeed: {outcome}")  # noqa: TRY004 - a value

        yield call
