"""Make one HTTP request over a guarded session: an answer, or the outcome of having none.

connect ──▶ request sent ──▶ status line ──▶ excerpt of the body
   │             │                │                  │
temporary    uncertain       an Answer          only evidence
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import NamedTuple, Self

import aiohttp
from yarl import URL

from chimewayd.adapters.address_guard import DestinationDenied, check_text
from chimewayd.adapters.base import Reach
from chimewayd.adapters.evidence import DETAIL_LIMIT_BYTES, READ_LIMIT_BYTES, clean
from chimewayd.adapters.http_session import TrackedRequest, open_session, time_limits
from chimewayd.adapters.http_settings import HttpSettings
from chimewayd.models import (
    Misconfigured,
    Outcome,
    Permanent,
    Temporary,
    TimedOut,
    Unavailable,
    Uncertain,
)

MOST_HOSTS = 5
"""Recipients' hosts that are tried."""


class Answer(NamedTuple):
    """What a receiver answered; `body` is its beginning, at most `READ_LIMIT_BYTES`."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class ConnectionLost(aiohttp.ClientError):
    """The connection broke after the request began."""


class _Exchange:
    """One request on its way, as a middleware of aiohttp: around the call, once."""

    def __init__(self) -> None:
        self._request: aiohttp.ClientRequest | None = None

    @property
    def request_sent(self) -> bool:
        return isinstance(self._request, TrackedRequest) and self._request.has_left

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Keep aiohttp from repeating a PUT by itself when a kept-alive connection breaks."""
        self._request = request
        try:
            return await handler(request)
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            raise ConnectionLost from error


class HttpAdapter:
    """Base of the adapters that speak HTTP: holds a session between entering and leaving."""

    _session: aiohttp.ClientSession

    def __init__(self, settings: HttpSettings, timeout: timedelta) -> None:
        self._http_settings = settings
        self._timeout = timeout

    async def __aenter__(self) -> Self:
        self._session = open_session(self._http_settings, self._timeout)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def call(
        self,
        method: str,
        url: URL,
        body: bytes,
        headers: Mapping[str, str],
        *,
        is_ours: bool = False,
        within: timedelta | None = None,
    ) -> Answer | Outcome:
        """Make one request and return its answer, or how it ended without one.

        `is_ours`: the address is the channel's own and not a recipient's, so that what is wrong
        with it is wrong for every delivery. `within`: less than the channel's timeout, because
        something went before.
        """
        exchange = _Exchange()
        try:
            if self._http_settings.proxy is not None:
                check_text(url.raw_host or "", self._http_settings.allow_networks)
            return await self._request(method, url, body, headers, exchange, within)
        except TimeoutError:
            if exchange.request_sent:
                return TimedOut(detail=f"{_host(url)}: no answer in time")
            detail = f"{_host(url)}: no connection in time"
            return (
                Unavailable(detail=detail)
                if is_ours
                else TimedOut(detail=detail, request_sent=False)
            )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return _failed(url, exchange, error, is_ours=is_ours)

    async def reach(self, recipients: Sequence[str]) -> list[Reach]:
        """Ask each host for nothing but its head: the provider's, or those of recipients."""
        base_url = getattr(self._http_settings, "base_url", None)
        given = recipients if base_url is None else [str(base_url)]
        origins = sorted({url.origin() for url in map(_web_address, given) if url.host})[
            :MOST_HOSTS
        ]
        answers = [await self.call("HEAD", origin, b"", {}, is_ours=True) for origin in origins]
        return [
            Reach(str(origin), None if isinstance(answer, Answer) else answer.detail or "failed")
            for origin, answer in zip(origins, answers, strict=True)
        ]

    async def _request(
        self,
        method: str,
        url: URL,
        body: bytes,
        headers: Mapping[str, str],
        exchange: _Exchange,
        within: timedelta | None,
    ) -> Answer:
        timeout = self._session.timeout
        if within is not None:
            timeout = time_limits(self._http_settings, within)
        response = await self._session.request(
            method,
            url,
            data=body,
            headers=headers,
            allow_redirects=False,
            timeout=timeout,
            middlewares=(exchange,),
        )
        try:
            return Answer(response.status, response.headers, await _read(response))
        finally:
            # Not `async with`: it would wait for a body that the receiver did not want to read.
            # A connection whose answer was read to its end has gone back to the pool before.
            response.close()


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Read the body's beginning; a body that fails or hangs ends it, for the status has decided."""
    said = bytearray()
    try:
        while len(said) < READ_LIMIT_BYTES:
            chunk = await response.content.read(READ_LIMIT_BYTES - len(said))
            if not chunk:
                break
            said += chunk
    except (TimeoutError, aiohttp.ClientError, OSError):
        pass
    return bytes(said)


def _web_address(text: str) -> URL:
    """Return an address that can be called, or an empty one."""
    try:
        url = URL(text)
    except ValueError:
        return URL()
    return url if url.scheme in ("http", "https") else URL()


def _host(url: URL) -> str:
    return clean(url.with_user(None).authority, limit_bytes=DETAIL_LIMIT_BYTES) or "recipient"


def _failed(url: URL, exchange: _Exchange, error: Exception, *, is_ours: bool) -> Outcome:
    refused = Misconfigured if is_ours else Permanent
    if denied := _denied(error):
        detail = f"destination_denied: {_host(url)}: {denied}; "
        detail += "the channel's setting allow_networks can allow it"
        return refused(detail=detail)
    # A certificate that was refused is a ValueError, too: Python made it one.
    if isinstance(error, ValueError) and not isinstance(error, aiohttp.ClientSSLError):
        # The resolver and the client know more bad host names than we do.
        what = f"{_host(url)}: the address cannot be called"
        return refused(detail=what if is_ours else "recipient is not a valid URL")
    detail = f"{_host(url)}: {_reason(error)}"
    if exchange.request_sent:
        return Uncertain(detail=detail)
    if is_ours and isinstance(error, aiohttp.ClientConnectorCertificateError):
        return Misconfigured(detail=detail)
    if is_ours or isinstance(error, aiohttp.ClientProxyConnectionError):
        return Unavailable(detail=detail)
    return Temporary(detail=detail)


def _denied(error: Exception) -> DestinationDenied | None:
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return cause if isinstance(cause, DestinationDenied) else None


def _reason(error: Exception) -> str:
    """Name a network error in our own words: aiohttp's hold the URL with its query."""
    match error:
        case aiohttp.ClientProxyConnectionError():
            reason = "the proxy cannot be reached"
        case aiohttp.ClientHttpProxyError(status=status):
            reason = f"the proxy refused to connect: HTTP {status}"
        case aiohttp.ClientConnectorDNSError():
            reason = "the host name does not resolve"
        case aiohttp.ClientConnectorCertificateError():
            reason = "the certificate was refused"
        case aiohttp.ClientSSLError():
            reason = "the TLS handshake failed"
        case aiohttp.ClientConnectorError():
            reason = f"cannot connect: {error.os_error.strerror or 'no reason given'}"
        case ConnectionLost():
            reason = "the connection was lost before an answer came"
        case aiohttp.ClientResponseError():
            reason = "the answer is not valid HTTP"
        case _:
            reason = f"the request failed: {type(error).__name__}"
    return reason
