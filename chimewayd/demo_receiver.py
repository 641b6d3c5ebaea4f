"""The demo's webhook receiver: answers by a script, path by path, and tells of each request."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import anyio
from aiohttp import web

EXCERPT_CHARACTERS = 60


@asynccontextmanager
async def receiver(
    script: Mapping[str, Sequence[int]], tell: Callable[[str], None]
) -> AsyncIterator[str]:
    """Run a receiver on a free loopback port and yield its URL.

    `script` has the statuses that a path answers, in turn; the last one repeats, and a path
    without any answers 200.
    """
    left = {path: list(statuses) for path, statuses in script.items()}

    async def answer(request: web.BaseRequest) -> web.Response:
        body = (await request.read()).decode(errors="replace")
        statuses = left.get(request.path, [200])
        status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
        tell(f"{request.method} {request.path_qs} {body[:EXCERPT_CHARACTERS]} → answered {status}")
        return web.Response(
            status=status, text="ok" if status < web.HTTPBadRequest.status_code else "no"
        )

    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        with anyio.CancelScope(shield=True):
            await runner.cleanup()
