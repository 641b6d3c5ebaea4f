"""Perform an attempt as one HTTP request: the recipient is the URL, the payload is the body.

    connect ──▶ request sent ──▶ status line ──▶ excerpt of the body
       │             │                │                  │
    temporary    uncertain        decides          only evidence

Signed as Standard Webhooks 1.0 where the channel has a secret. Missing on purpose: redirects,
cookies, proxies of the environment, compressed answers.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import SimpleNamespace, TracebackType
from typing import Annotated, ClassVar, Self

import aiohttp
from pydantic import Field, SecretStr, field_validator
from yarl import URL

from chimewayd import __version__
from chimewayd.adapters.base import AdapterSettings
from chimewayd.adapters.evidence import (
    DETAIL_LIMIT_BYTES,
    READ_LIMIT_BYTES,
    clean,
    secret_words,
)
from chimewayd.adapters.http_outcome import classify
from chimewayd.adapters.http_request import refuse_header, target
from chimewayd.adapters.signing import signature, signing_key
from chimewayd.durations import Duration
from chimewayd.models import Delivery, Outcome, Permanent, Temporary, TimedOut, Uncertain

# Below the five seconds after which the most impatient servers drop an idle connection: whoever
# closes first decides whether a request meets a dying connection and ends as uncertain.
KEEP_ALIVE_SECONDS = 4.0


class Method(StrEnum):
    """Request methods that carry a body."""

    POST = "POST"
    PUT = "PUT"
    PATCH = "PATCH"


class WebhookSettings(AdapterSettings):
    """Settings of a webhook channel."""

    secret: SecretStr | None = Field(
        default=None, description="whsec_ and the base64 of 24 to 64 random bytes"
    )
    headers: dict[str, SecretStr] = Field(
        default_factory=dict,
        description="names and values of static headers, none of the connection's or our own",
    )
    method: Method = Field(default=Method.POST, description=", ".join(Method))
    connect_timeout: Duration = Field(
        default=timedelta(seconds=5), gt=timedelta(), description="a duration above zero, as in 5s"
    )
    permanent_statuses: frozenset[Annotated[int, Field(ge=400, le=599)]] = Field(
        default=frozenset(), description="statuses from 400 to 599 that are never retried"
    )

    @field_validator("secret")
    @classmethod
    def _is_a_signing_secret(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None:
            signing_key(secret.get_secret_value())
        return secret

    @field_validator("headers")
    @classmethod
    def _are_ours_to_send(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, value in headers.items():
            refuse_header(name, value.get_secret_value())
        if len({name.lower() for name in headers}) < len(headers):
            raise ValueError("a header is named twice, in different letter case")
        return headers


@dataclass(slots=True)
class _Progress:
    """How far one request has come."""

    request_sent: bool = False


class _ConnectionLost(aiohttp.ClientError):
    """The connection broke after the request began."""


class WebhookAdapter:
    """Posts each delivery to the URL that is its recipient."""

    Settings: ClassVar[type[AdapterSettings]] = WebhookSettings
    _session: aiohttp.ClientSession

    def __init__(self, settings: WebhookSettings, timeout: timedelta) -> None:
        # One for now; the signature has room for several, for rotation.
        secrets = () if settings.secret is None else (settings.secret.get_secret_value(),)
        headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
        self._settings = settings
        self._keys = tuple(signing_key(secret) for secret in secrets)
        self._secrets = secret_words((*secrets, *headers.values()))
        self._static_headers = headers | {
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            "User-Agent": f"chimewayd/{__version__}",
        }
        self._timeout = aiohttp.ClientTimeout(
            total=timeout.total_seconds(),
            connect=settings.connect_timeout.total_seconds(),
            # Otherwise it rounds deadlines above five seconds up to the next full second.
            ceil_threshold=float("inf"),
        )

    async def __aenter__(self) -> Self:
        tracing = aiohttp.TraceConfig()
        tracing.on_request_headers_sent.append(_mark_sent)
        self._session = aiohttp.ClientSession(
            connector=_connector(),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            trust_env=False,
            # A bomb of a few kilobytes must not become gigabytes of excerpt.
            auto_decompress=False,
            trace_configs=[tracing],
            middlewares=(_once,),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def deliver(self, delivery: Delivery) -> Outcome:
        try:
            url = target(delivery.recipient)
        except ValueError as error:
            return Permanent(detail=f"recipient {error}")
        progress = _Progress()
        try:
            return await self._call(url, delivery, progress)
        except TimeoutError:
            missing = "no answer" if progress.request_sent else "no connection"
            return TimedOut(
                detail=f"{_host(url)}: {missing} in time", request_sent=progress.request_sent
            )
        except ValueError:
            # The resolver and the client know more bad host names than we do.
            return Permanent(detail="recipient is not a valid URL")
        except (aiohttp.ClientError, OSError) as error:
            detail = f"{_host(url)}: {_reason(error)}"
            return Uncertain(detail=detail) if progress.request_sent else Temporary(detail=detail)

    async def _call(self, url: URL, delivery: Delivery, progress: _Progress) -> Outcome:
        body = delivery.payload_json.encode()
        response = await self._session.request(
            self._settings.method,
            url,
            data=body,
            headers=self._headers(str(delivery.delivery_id), body),
            allow_redirects=False,
            trace_request_ctx=progress,
        )
        try:
            said = await _read(response)
        finally:
            # Not `async with`: it would wait for a body that the receiver did not want to read.
            # A connection whose answer was read to its end has gone back to the pool before.
            response.close()
        # A receiver that echoes the request must not put its secrets into the record.
        of_url = secret_words((url.raw_query_string, *url.query.values()))
        return classify(
            response.status,
            response.headers,
            clean(said, self._secrets + of_url),
            datetime.now(UTC),
            self._settings.permanent_statuses,
        )

    def _headers(self, message_id: str, body: bytes) -> dict[str, str]:
        timestamp = int(time.time())
        headers = self._static_headers | {
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
        }
        if self._keys:
            headers["webhook-signature"] = signature(self._keys, message_id, timestamp, body)
        return headers


def _connector() -> aiohttp.TCPConnector:
    """Make the connector; a guard of where we may connect belongs in its `socket_factory`."""
    # The daemon's semaphores bound the calls; a second limit would hide waiting in the deadline.
    return aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_SECONDS)


async def _mark_sent(
    session: aiohttp.ClientSession,  # noqa: ARG001 - aiohttp calls it with three arguments
    context: SimpleNamespace,
    parameters: aiohttp.TraceRequestHeadersSentParams,  # noqa: ARG001 - as above
) -> None:
    context.trace_request_ctx.request_sent = True


async def _once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep aiohttp from repeating a PUT by itself when a kept-alive connection breaks."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _ConnectionLost from error


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


def _host(url: URL) -> str:
    return clean(url.authority, limit_bytes=DETAIL_LIMIT_BYTES) or "recipient"


def _reason(error: Exception) -> str:
    """Name a network error in our own words: aiohttp's hold the URL with its query."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            reason = "the host name does not resolve"
        case aiohttp.ClientConnectorCertificateError():
            reason = "the certificate was refused"
        case aiohttp.ClientSSLError():
            reason = "the TLS handshake failed"
        case aiohttp.ClientConnectorError():
            reason = f"cannot connect: {error.os_error.strerror or 'no reason given'}"
        case _ConnectionLost():
            reason = "the connection was lost before an answer came"
        case aiohttp.ClientResponseError():
            reason = "the answer is not valid HTTP"
        case _:
            reason = f"the request failed: {type(error).__name__}"
    return reason
