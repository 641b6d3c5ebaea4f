"""The HTTP endpoint: reads, and changes nothing.

    /livez     200 while it is worth keeping, 503 if only a restart helps
    /readyz    200 while what is inserted now goes out by us, 503 and the reasons otherwise
    /metrics   for Prometheus
    /status    the same figures as JSON, for people and scripts

The last two want the token, where one is set. The first two say one word, and want none: a
cluster's probes have nowhere to keep a secret.
"""

import asyncio
import hmac
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from http import HTTPStatus
from ipaddress import ip_address

import anyio
import orjson
import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from chimewayd.config import Settings
from chimewayd.health import status, stuck, unready
from chimewayd.http_address import TcpAddress
from chimewayd.http_door import Door, open_socket, remove_socket
from chimewayd.log import Event
from chimewayd.metric_page import MetricPage
from chimewayd.onlooker import Onlooker
from chimewayd.redaction import plain
from chimewayd.session import Session
from chimewayd.state import State

LONGEST_LINE_BYTES = 4096
MOST_HEADERS = 32
STOP_SECONDS = 0.5
"""How long an answer under way may take when the daemon ends."""

_SILENT = logging.getLogger("chimewayd.endpoint")
"""What strangers send is answered, and is no news: it must not fill the log."""
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False

OPEN_TO_ALL = frozenset({"/livez", "/readyz"})

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = structlog.get_logger()


class Answers:
    """One method a path."""

    def __init__(self, state: State, onlooker: Onlooker) -> None:
        self._state = state
        self._onlooker = onlooker
        self._page = MetricPage(state)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/livez", self.livez),
            web.get("/readyz", self.readyz),
            web.get("/metrics", self.metrics),
            web.get("/status", self.status),
        ]

    async def livez(self, _: web.Request) -> web.Response:
        return _verdict("alive", stuck(self._state))

    async def readyz(self, _: web.Request) -> web.Response:
        return _verdict("ready", unready(self._state))

    async def metrics(self, request: web.Request) -> web.Response:
        queues = await self._onlooker.figures()
        page, kind = self._page.render(queues, request.headers.get(hdrs.ACCEPT, ""))
        return web.Response(body=page, headers={hdrs.CONTENT_TYPE: kind})

    async def status(self, _: web.Request) -> web.Response:
        document = status(self._state, await self._onlooker.figures())
        body = orjson.dumps(document, default=plain, option=orjson.OPT_INDENT_2)
        return web.Response(body=body + b"\n", content_type="application/json")


def open_door(stack: AsyncExitStack, settings: Settings) -> socket.socket | None:
    """Take the address before anything else begins; None: nobody is to be answered.

    Raises:
        ConfigError: it cannot be had.
    """
    if settings.http_listen is None:
        return None
    listening = open_socket(settings.http_listen)
    stack.callback(listening.close)
    return listening


async def answer(state: State, listening: socket.socket) -> None:
    """Answer for ever; the socket is ours from here on."""
    settings = state.settings
    token = settings.http_token.get_secret_value() if settings.http_token else None
    is_unix = listening.family == socket.AF_UNIX
    name = name_of(listening)
    session = Session(settings.dsn.get_secret_value(), "onlooker")
    application = web.Application(middlewares=[sign_off, guard(token, trusts_names=is_unix)])
    application.add_routes(Answers(state, Onlooker(session)).routes())
    runner = web.AppRunner(
        application,
        access_log=None,
        logger=_SILENT,
        shutdown_timeout=STOP_SECONDS,
        lingering_time=0.0,
        max_line_size=LONGEST_LINE_BYTES,
        max_field_size=LONGEST_LINE_BYTES,
        max_headers=MOST_HEADERS,
    )
    await runner.setup()
    assert runner.server is not None  # noqa: S101 - set up
    door, loop = Door(runner.server), asyncio.get_running_loop()
    listen = loop.create_unix_server if is_unix else loop.create_server
    server = await listen(door, sock=listening)
    log.info(Event.HTTP_LISTENING, address=name)
    try:
        await door.keep_time()
    finally:
        server.close()
        with anyio.move_on_after(2 * STOP_SECONDS, shield=True):
            await runner.cleanup()
        session.drop()
        if is_unix:
            remove_socket(name.removeprefix("unix:"))


def guard(token: str | None, *, trusts_names: bool) -> Middleware:
    """Make the check of who asks.

    `trusts_names`: any name of this host will do. Without a token, a browser on this machine must
    not read us through a name that somebody else's name server points here.
    """
    wanted = None if token is None else f"Bearer {token}".encode()

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if wanted is None:
            if not trusts_names and not _is_address(request.headers.get(hdrs.HOST, "")):
                raise web.HTTPMisdirectedRequest(text="ask by address, or set http_token\n")
        elif request.path not in OPEN_TO_ALL:
            given = request.headers.get(hdrs.AUTHORIZATION, "").encode(errors="surrogateescape")
            if not hmac.compare_digest(given, wanted):
                raise web.HTTPUnauthorized(
                    text="wrong or no token\n", headers={hdrs.WWW_AUTHENTICATE: "Bearer"}
                )
        return await handler(request)

    return check


def _is_address(host: str) -> bool:
    name = host.removesuffix(f":{host.rpartition(':')[2]}") if ":" in host else host
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return name in ("", "localhost")
    return True


@web.middleware
async def sign_off(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer one request a connection: who comes back opens another."""
    try:
        response = await handler(request)
    except web.HTTPException as refusal:
        _end(refusal)
        raise
    except Exception:  # a page that fails is one line here and nothing to whoever asked
        log.exception(Event.PAGE_FAILED, path=request.path)
        response = web.Response(
            status=HTTPStatus.INTERNAL_SERVER_ERROR, text="failed; see the log\n"
        )
    _end(response)
    return response


def _end(response: web.StreamResponse) -> None:
    response.force_close()
    response.headers[hdrs.CACHE_CONTROL] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"


def _verdict(yes: str, reasons: Sequence[str]) -> web.Response:
    if not reasons:
        return web.Response(text=f"{yes}\n")
    return web.Response(
        text=f"not {yes}: {', '.join(reasons)}\n", status=HTTPStatus.SERVICE_UNAVAILABLE
    )


def name_of(listening: socket.socket) -> str:
    """Say where a socket listens, as the setting is written; its port is known by now."""
    name = listening.getsockname()
    if listening.family == socket.AF_UNIX:
        return f"unix:{name}"
    return str(TcpAddress(ip_address(name[0]), name[1]))
