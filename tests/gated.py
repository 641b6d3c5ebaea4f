"""A webhook receiver that keeps its answers back until it is told to give them.

async with gated() as gate:
    …
    await gate.until_under_way(2)
    gate.open()
"""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from aiohttp import web

from chimewayd.testing.receiver import WAIT_SECONDS, Receiver


class Gate(Receiver):
    """Counts the requests that wait at it, all together and path by path."""

    def __init__(self) -> None:
        super().__init__()
        self.under_way: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        """The most that were ever under way at one time: of each path, and of "all"."""
        self.arrived: list[str] = []
        """The webhook-id of each request, answered or not."""
        self._gate = anyio.Event()
        self._moved = anyio.Event()

    def open(self) -> None:
        """Answer what waits and whatever comes."""
        self._gate.set()

    async def until_under_way(self, count: int) -> None:
        """Wait until so many requests wait for their answer."""
        with anyio.fail_after(WAIT_SECONDS):
            while self.under_way["all"] < count:
                await self._moved.wait()

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.arrived.append(request.headers["webhook-id"])
        self._count(request.path, 1)
        try:
            await self._gate.wait()
            # Let the others in that come at this moment: without a pause nothing would overlap.
            await anyio.sleep(0)
            return await super().answer(request)
        finally:
            self._count(request.path, -1)

    def _count(self, path: str, change: int) -> None:
        for name in (path, "all"):
            self.under_way[name] += change
            self.most[name] = max(self.most[name], self.under_way[name])
        moved, self._moved = self._moved, anyio.Event()
        moved.set()


@asynccontextmanager
async def gated() -> AsyncIterator[Gate]:
    """Run a gate on a free loopback port for as long as the context is open."""
    gate = Gate()
    server = web.Server(gate.answer, handler_cancellation=True)
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        gate.url = f"http://{host}:{port}"
        yield gate
    finally:
        gate.open()
        with anyio.CancelScope(shield=True):
            await runner.cleanup()
