"""A local webhook receiver that answers as scripted, path by path.

    async with receiver() as hooks:
        hooks.script("/orders", 503, Answer(status=200, body=b"at last"))
        …insert a delivery for hooks.url + "/orders"…
        await hooks.wait_for(2)

A path without a script gets the default answer, 200. The last answer of a script repeats.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

import anyio
from aiohttp import web
from multidict import CIMultiDictProxy

WAIT_SECONDS = 10.0
HERE: Mapping[str, object] = {"allow_networks": ["127.0.0.0/8", "::1/128"]}
"""The setting without which no adapter calls a receiver on this machine."""


class Fault(StrEnum):
    """What goes wrong, counted from the request's arrival."""

    HANG_BEFORE_ANSWER = "hang_before_answer"
    HANG_IN_BODY = "hang_in_body"
    CLOSE_BEFORE_ANSWER = "close_before_answer"
    CLOSE_IN_BODY = "close_in_body"


@dataclass(frozen=True, slots=True)
class Answer:
    """One scripted answer; with a fault in the body, `body` is what arrives before it."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """One request, as it arrived."""

    method: str
    path: str
    """With its query."""
    headers: CIMultiDictProxy[str]
    body: bytes
    at: datetime


class Receiver:
    """The receiver's script and what it has received, in order of arrival."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[Received] = []
        self.connections = 0
        """Connections open at this moment."""
        self.connections_ever = 0
        """Connections opened since the start."""
        self.default = Answer()
        """What a path without a script answers."""
        self._scripts: dict[str, list[Answer]] = {}
        self._changed = anyio.Event()

    def script(self, path: str, *answers: Answer | int) -> None:
        """Set what a path answers, in turn; a number is an answer with that status."""
        self._scripts[path] = [
            Answer(status=answer) if isinstance(answer, int) else answer for answer in answers
        ]

    async def wait_for(self, count: int, timeout_seconds: float = WAIT_SECONDS) -> None:
        """Wait until `count` requests have arrived in all.

        Raises:
            TimeoutError: they did not.
        """
        with anyio.fail_after(timeout_seconds):
            while len(self.requests) < count:
                await self._changed.wait()

    async def wait_until_disconnected(self, timeout_seconds: float = WAIT_SECONDS) -> None:
        """Wait until no connection is open.

        Raises:
            TimeoutError: one stayed open.
        """
        with anyio.fail_after(timeout_seconds):
            while self.connections:
                await self._changed.wait()

    def count_connection(self, change: int) -> None:
        """Count a connection that opened (1) or closed (-1)."""
        self.connections += change
        self.connections_ever += max(change, 0)
        self._announce()

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Record a request and answer it by the script."""
        body = await request.read()
        at = datetime.now(UTC)
        self.requests.append(Received(request.method, request.path_qs, request.headers, body, at))
        self._announce()
        script = self._scripts.get(request.path, [])
        answer = script.pop(0) if len(script) > 1 else script[0] if script else self.default
        if answer.fault is None:
            return web.Response(status=answer.status, headers=answer.headers, body=answer.body)
        return await _fail(request, answer, answer.fault)

    def _announce(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()


class _CountingServer(web.Server):
    def __init__(self, hooks: Receiver) -> None:
        # With cancellation a hanging answer ends when its client goes away.
        super().__init__(hooks.answer, handler_cancellation=True, access_log=None)
        self._hooks = hooks

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._hooks.count_connection(1)

    def connection_lost(
        self, handler: web.RequestHandler, exc: BaseException | None = None
    ) -> None:
        super().connection_lost(handler, exc)
        self._hooks.count_connection(-1)


@asynccontextmanager
async def receiver(
    tls: ssl.SSLContext | None = None, hooks: Receiver | None = None
) -> AsyncIterator[Receiver]:
    """Run a receiver, or `hooks`, on a free loopback port for as long as the context is open."""
    hooks = hooks or Receiver()
    runner = web.ServerRunner(_CountingServer(hooks), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        host, port = runner.addresses[0][:2]
        hooks.url = f"{'https' if tls else 'http'}://{host}:{port}"
        yield hooks
    finally:
        with anyio.CancelScope(shield=True):
            await runner.cleanup()


async def _fail(request: web.BaseRequest, answer: Answer, fault: Fault) -> web.StreamResponse:
    if fault in (Fault.HANG_IN_BODY, Fault.CLOSE_IN_BODY):
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        response.content_length = len(answer.body) + 1
        await response.prepare(request)
        await response.write(answer.body)
    if fault in (Fault.CLOSE_BEFORE_ANSWER, Fault.CLOSE_IN_BODY) and request.transport:
        request.transport.close()
    # Until the client has gone, or the receiver ends.
    await anyio.sleep_forever()
    raise AssertionError("unreachable")
