"""Perform an attempt as one HTTP request: the recipient is the URL, the payload is the body.

Signed as Standard Webhooks 1.0 where the channel has a secret.
"""

import time
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field, SecretStr, field_validator

from chimewayd import __version__
from chimewayd.adapters.base import AdapterSettings
from chimewayd.adapters.evidence import clean, secret_words
from chimewayd.adapters.http_call import HttpAdapter
from chimewayd.adapters.http_outcome import classify
from chimewayd.adapters.http_request import refuse_header, target
from chimewayd.adapters.http_session import HttpSettings
from chimewayd.adapters.signing import signature, signing_key
from chimewayd.models import Delivery, Outcome, Permanent


class Method(StrEnum):
    """Request methods that carry a body."""

    POST = "POST"
    PUT = "PUT"
    PATCH = "PATCH"


class WebhookSettings(HttpSettings):
    """Settings of a webhook channel."""

    secret: SecretStr | None = Field(
        default=None, description="whsec_ and the base64 of 24 to 64 random bytes"
    )
    headers: dict[str, SecretStr] = Field(
        default_factory=dict,
        description="names and values of static headers, none of the connection's or our own",
    )
    method: Method = Field(default=Method.POST, description=", ".join(Method))
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


class WebhookAdapter(HttpAdapter):
    """Posts each delivery to the URL that is its recipient."""

    Settings: ClassVar[type[AdapterSettings]] = WebhookSettings

    def __init__(self, settings: WebhookSettings, timeout: timedelta) -> None:
        super().__init__(settings, timeout)
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

    async def deliver(self, delivery: Delivery) -> Outcome:
        try:
            url = target(delivery.recipient)
        except ValueError as error:
            return Permanent(detail=f"recipient {error}")
        body = delivery.payload_json.encode()
        headers = self._headers(str(delivery.delivery_id), body)
        answer = await self.call(self._settings.method, url, body, headers)
        if isinstance(answer, Outcome):
            return answer
        # A receiver that echoes the request must not put its secrets into the record.
        of_url = secret_words((url.raw_query_string, *url.query.values()))
        return classify(
            answer.status,
            answer.headers,
            clean(answer.body, self._secrets + of_url),
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
