"""Push to a browser: the recipient is the JSON of a subscription, as the browser gave it.

The payload is a JSON object; it arrives, encrypted for this subscription, in the page's worker.

Source: RFC 8030 (web push), RFC 8291 (encryption), RFC 8292 (VAPID).
"""

import base64
import os
import time
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any, ClassVar, NamedTuple

import orjson
from pydantic import Field, SecretStr, field_validator
from yarl import URL

from chimewayd.adapters.base import AdapterSettings
from chimewayd.adapters.http_outcome import Meaning
from chimewayd.adapters.http_settings import HttpSettings
from chimewayd.adapters.messaging import MessagingAdapter, Request, Said, find, web_address
from chimewayd.adapters.push_encryption import (
    AUTH_BYTES,
    MESSAGE_LIMIT_BYTES,
    SALT_BYTES,
    decoded,
    encrypt,
    new_key,
    private_key,
    vapid,
)
from chimewayd.durations import Duration
from chimewayd.models import Delivery

_TOKEN_SECONDS = 12 * 3600
"""Services refuse more than a day (RFC 8292 section 2)."""


class Urgency(StrEnum):
    """How much of a device's battery a message is worth."""

    VERY_LOW = "very-low"
    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


class WebpushSettings(HttpSettings):
    """Settings of a web push channel."""

    private_key: SecretStr = Field(description="the VAPID key: base64url of 32 bytes")
    subject: str = Field(
        pattern=r"^(mailto:[^\s@]+@[^\s@]+|https://\S+)$",
        description="whom the push service may ask: mailto: and an address, or an https URL",
    )
    ttl: Duration = Field(
        default=timedelta(days=1),
        le=timedelta(days=28),
        description="how long the service keeps it for a device that is off, at most 28d",
    )
    urgency: Urgency = Field(default=Urgency.NORMAL, description=", ".join(Urgency))

    @field_validator("private_key")
    @classmethod
    def _is_a_key(cls, key: SecretStr) -> SecretStr:
        private_key(key.get_secret_value())
        return key


class Subscription(NamedTuple):
    """Where a browser wants its messages, and the keys they are encrypted for."""

    endpoint: URL
    public_key: bytes
    auth: bytes


class WebpushAdapter(MessagingAdapter):
    """Pushes each delivery to the subscription that is its recipient."""

    Settings: ClassVar[type[AdapterSettings]] = WebpushSettings
    codes: ClassVar[Mapping[str, Meaning]] = {}
    statuses: ClassVar[Mapping[int, Meaning]] = {
        400: Meaning.PERMANENT,
        # The subscription was made for another key, or the service does not believe ours.
        401: Meaning.BOUNCED,
        403: Meaning.BOUNCED,
        404: Meaning.UNSUBSCRIBED,
        410: Meaning.UNSUBSCRIBED,
        413: Meaning.PERMANENT,
    }

    def __init__(self, settings: WebpushSettings, timeout: timedelta) -> None:
        super().__init__(settings, timeout, settings.private_key)
        self._key = private_key(settings.private_key.get_secret_value())
        self._subject = settings.subject
        self._headers = {
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(int(settings.ttl.total_seconds())),
            "Urgency": settings.urgency,
        }

    def request(self, delivery: Delivery, message: dict[str, Any]) -> Request:  # noqa: ARG002 - the payload goes as it is stored
        body = delivery.payload_json.encode()
        if len(body) > MESSAGE_LIMIT_BYTES:
            raise ValueError(
                f"the payload has {len(body)} bytes; a push message takes {MESSAGE_LIMIT_BYTES}"
            )
        to = _subscription(delivery.recipient)
        try:
            sealed = encrypt(
                body,
                to.public_key,
                to.auth,
                salt=os.urandom(SALT_BYTES),
                ephemeral=new_key(),
            )
        except ValueError:
            raise ValueError("recipient's p256dh is no key") from None
        expires_at = int(time.time()) + _TOKEN_SECONDS
        login = vapid(self._key, str(to.endpoint.origin()), self._subject, expires_at)
        headers = self._headers | {
            "Authorization": login,
            # A repeat takes the place of the first, as long as that waits at the service.
            "Topic": base64.urlsafe_b64encode(delivery.delivery_id.bytes).rstrip(b"=").decode(),
        }
        # Whoever reads it in an answer that repeats it could push for half a day.
        token = login.removeprefix("vapid t=").partition(",")[0]
        return Request(to.endpoint, sealed, headers, is_recipient=True, secrets=(token,))

    def read(self, document: Any) -> Said:
        text = find(document, "message") or find(document, "reason")
        return Said(text=document if isinstance(document, str) else text)


def _subscription(recipient: str) -> Subscription:
    try:
        document = orjson.loads(recipient)
    except orjson.JSONDecodeError:
        raise ValueError("recipient is no JSON of a subscription") from None
    endpoint = find(document, "endpoint")
    public_key, auth = find(document, "keys", "p256dh"), find(document, "keys", "auth")
    if endpoint is None or public_key is None or auth is None:
        raise ValueError("recipient has no endpoint, or no keys p256dh and auth")
    try:
        found = Subscription(web_address(endpoint), decoded(public_key), decoded(auth))
    except ValueError as error:
        raise ValueError(f"recipient's subscription: {error}") from None
    if len(found.auth) != AUTH_BYTES:
        raise ValueError(f"recipient's auth has {len(found.auth)} bytes, not {AUTH_BYTES}")
    return found
