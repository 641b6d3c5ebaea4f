"""Perform an attempt as one HTTP request: the recipient is the URL, the payload is the body.

Signed as Standard Webhooks 1.0 where the channel has secrets: once for each that has not expired,
so that a receiver may change over at any time before the old one ends.
"""

import math
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import AwareDatetime, Field, SecretStr, ValidationInfo, field_validator
from yarl import URL

from chimewayd import __version__
from chimewayd.adapters.base import AdapterSettings
from chimewayd.adapters.evidence import clean, secret_words
from chimewayd.adapters.http_call import HttpAdapter
from chimewayd.adapters.http_outcome import classify
from chimewayd.adapters.http_request import keys_of, refuse_header, target
from chimewayd.adapters.http_settings import HttpSettings
from chimewayd.adapters.signing import signature, signer
from chimewayd.config_types import Whole
from chimewayd.models import Delivery, Misconfigured, Outcome, Permanent
from chimewayd.traceparent import traceparent_of

KIB = 1024


class Method(StrEnum):
    """Request methods that carry a body."""

    POST = "POST"
    PUT = "PUT"
    PATCH = "PATCH"


def _check_secret(secret: SecretStr) -> SecretStr:
    signer(secret.get_secret_value())
    return secret


class DatedSecret(AdapterSettings):
    """A signing secret, and until when it signs."""

    secret: SecretStr
    expires_at: AwareDatetime | None = None

    _is_a_secret = field_validator("secret")(_check_secret)


class WebhookSettings(HttpSettings):
    """Settings of a webhook channel."""

    secret: SecretStr | None = Field(
        default=None,
        description="whsec_ and the base64 of 24 to 64 random bytes, or whsk_ and that of an "
        "ed25519 key",
    )
    secrets: tuple[DatedSecret, ...] = Field(
        default=(), description="tables of secret and, if it ends, expires_at with its time zone"
    )
    headers: dict[str, SecretStr] = Field(
        default_factory=dict,
        description="names and values of static headers, none of the connection's or our own",
    )
    method: Method = Field(default=Method.POST, description=", ".join(Method))
    permanent_statuses: frozenset[Annotated[int, Field(ge=400, le=599)]] = Field(
        default=frozenset(), description="statuses from 400 to 599 that are never retried"
    )

    suppress_gone: bool = Field(
        default=True,
        description="false: a receiver that answers 410 or asks to be disabled fails this once",
    )
    payload_limit_kib: Whole = Field(
        default=256, ge=1, le=256, description="1 to 256, the most that a delivery can hold"
    )

    @field_validator("secret")
    @classmethod
    def _is_a_secret(cls, secret: SecretStr | None) -> SecretStr | None:
        return None if secret is None else _check_secret(secret)

    @field_validator("secrets")
    @classmethod
    def _one_is_valid(
        cls, secrets: tuple[DatedSecret, ...], info: ValidationInfo
    ) -> tuple[DatedSecret, ...]:
        if secrets and info.data.get("secret") is None and not _valid(secrets, datetime.now(UTC)):
            raise ValueError("all of them have expired")
        return secrets

    @field_validator("headers")
    @classmethod
    def _are_ours_to_send(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, value in headers.items():
            refuse_header(name, value.get_secret_value())
        if len({name.lower() for name in headers}) < len(headers):
            raise ValueError("a header is named twice, in different letter case")
        return headers


def _valid(secrets: Iterable[DatedSecret], now: datetime) -> list[DatedSecret]:
    return [one for one in secrets if one.expires_at is None or now < one.expires_at]


class WebhookAdapter(HttpAdapter):
    """Posts each delivery to the URL that is its recipient."""

    Settings: ClassVar[type[AdapterSettings]] = WebhookSettings

    def __init__(self, settings: WebhookSettings, timeout: timedelta) -> None:
        super().__init__(settings, timeout)
        own = () if settings.secret is None else (DatedSecret(secret=settings.secret),)
        dated = own + settings.secrets
        headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
        self._settings = settings
        self._signers = tuple((signer(_text(one)), _end_of(one)) for one in dated)
        self._secrets = secret_words(
            (*map(_text, dated), *headers.values(), *settings.proxy_secrets())
        )
        self._static_headers = headers | {
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            "User-Agent": f"chimewayd/{__version__}",
        }

    async def deliver(self, delivery: Delivery) -> Outcome:
        try:
            url = target(delivery.recipient)
        except ValueError as error:
            return Permanent(detail=f"recipient {error}")
        body = delivery.payload_json.encode()
        if len(body) > self._settings.payload_limit_kib * KIB:
            limit = f"payload_limit_kib allows {self._settings.payload_limit_kib} KiB"
            return Permanent(detail=f"the payload has {len(body)} bytes, {limit}")
        headers = self._headers(delivery, body)
        if headers is None:
            return Misconfigured(detail="every signing secret of the channel has expired")
        answer = await self.call(self._settings.method, url, body, headers)
        if isinstance(answer, Outcome):
            return answer
        return classify(
            answer.status,
            answer.headers,
            self._excerpt(answer.body, url),
            datetime.now(UTC),
            self._settings.permanent_statuses,
            suppresses=self._settings.suppress_gone,
        )

    def _excerpt(self, body: bytes, url: URL) -> str | None:
        if not body:
            return None
        # A receiver that echoes the request must not put its secrets into the record, nor what
        # of its address is a key: who may read that may not read recipients.
        return clean(body, self._secrets + secret_words(keys_of(url)))

    def _headers(self, delivery: Delivery, body: bytes) -> dict[str, str] | None:
        """Return the headers, or None where each secret that should sign has expired."""
        now, message_id = time.time(), str(delivery.delivery_id)
        timestamp = int(now)
        headers = self._static_headers | {
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
        }
        if (traceparent := traceparent_of(delivery.metadata_json)) is not None:
            headers["traceparent"] = traceparent
        if self._signers:
            signers = [sign for sign, end in self._signers if now < end]
            if not signers:
                return None
            headers["webhook-signature"] = signature(signers, message_id, timestamp, body)
        return headers


def _text(dated: DatedSecret) -> str:
    return dated.secret.get_secret_value()


def _end_of(dated: DatedSecret) -> float:
    return math.inf if dated.expires_at is None else dated.expires_at.timestamp()
