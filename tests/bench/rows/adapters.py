"""Adapters by themselves, beside a bare loop over the same library against the same server."""

import asyncio
import base64
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias
from uuid import uuid4

import aiohttp

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
BARE = "bare aiohttp"
BODY = '{"subject": "Hello", "text": "' + "x" * 980 + '"}'
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
WEBHOOKS: Mapping[str, Mapping[str, object]] = {
    "webhook": {"allow_networks": ["127.0.0.0/8"]},
    "webhook, signed": {"allow_networks": ["127.0.0.0/8"], "secret": SECRET},
}

Call: TypeAlias = Callable[[], Awaitable[None]]


async def measure(run: Run) -> None:
    """Take each in short turns against one server: what else the machine does hits all alike."""
    async with _http_server(run) as url, AsyncExitStack() as stack:
        calls = {BARE: await stack.enter_async_context(_bare_http(url))}
        for name, settings in WEBHOOKS.items():
            calls[name] = await stack.enter_async_context(_webhook(url, settings))
        rates = await _rates(calls, run.scale.adapter_seconds)
    for name, rate in rates.items():
        run.figures.add(ROW, name, "requests/s", rate)
    for name in WEBHOOKS:
        run.figures.add_ratio(ROW, f"{name} / {BARE}", (ROW, name), (ROW, BARE))


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
async def _http_server(run: Run) -> AsyncIterator[str]:
    argv = [sys.executable, f"{HTTP_SERVER}"]
    async with processes.child(argv, inherited(), run.log, says=True) as server:
        yield f"http://127.0.0.1:{await server.line('port', START_SECONDS)}/"


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
async def _webhook(url: str, settings: Mapping[str, object]) -> AsyncIterator[Call]:
    delivery = Delivery(
        delivery_id=uuid4(),
        claim_id=1,
        attempt_number=1,
        channel="bench",
        recipient=url,
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
    async with make("bench", "webhook", settings, TIMEOUT) as adapter:

        async def call() -> None:
            outcome = await adapter.deliver(delivery)
            if not isinstance(outcome, Succeeded):
                raise RuntimeError(f"a delivery did not succeed: {outcome}")  # noqa: TRY004 - a value

        yield call
