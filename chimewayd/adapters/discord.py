"""Send to Discord: to a webhook (its URL), or with a bot's token to a channel by its number.

The payload is Discord's message object; `text` stands in for its `content`. A mention in a text
pings nobody unless the payload's `allowed_mentions` says so.

Source: Discord's developer documentation, "Execute Webhook", "Create Message", "Rate Limits" and
"JSON Error Codes".
"""

import base64
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

import orjson
from pydantic import AnyHttpUrl, Field, SecretStr
from yarl import URL

from chimewayd.adapters.base import AdapterSettings
from chimewayd.adapters.http_outcome import Meaning
from chimewayd.adapters.http_settings import HttpSettings
from chimewayd.adapters.messaging import (
    MessagingAdapter,
    Request,
    Said,
    find,
    seconds,
    text_of,
    web_address,
)
from chimewayd.models import Delivery

TEXT_LIMIT = 2000

CODES: Mapping[str, Meaning] = {
    "10003": Meaning.BOUNCED,  # unknown channel
    "10004": Meaning.BOUNCED,  # unknown server
    "10013": Meaning.BOUNCED,  # unknown user
    "10015": Meaning.BOUNCED,  # unknown webhook
    "50001": Meaning.BOUNCED,  # the bot may not see the channel
    "50007": Meaning.BOUNCED,  # the user takes no messages
    "50027": Meaning.BOUNCED,  # the webhook's token is not the one in its URL
    "20016": Meaning.THROTTLED,  # slow mode
    "20022": Meaning.THROTTLED,
    "20028": Meaning.THROTTLED,  # the channel's limit
    "40001": Meaning.MISCONFIGURED,  # unauthorised
    "40002": Meaning.MISCONFIGURED,  # the account has to be verified
    "50014": Meaning.MISCONFIGURED,  # invalid token
    "130000": Meaning.TEMPORARY,  # overloaded
}


class DiscordSettings(HttpSettings):
    """Settings of a Discord channel."""

    token: SecretStr | None = Field(default=None, min_length=1, description="a bot's token")
    base_url: AnyHttpUrl = Field(
        default=AnyHttpUrl("https://discord.com/api/v10/"), description="where the API is"
    )


class DiscordAdapter(MessagingAdapter):
    """Posts each delivery to the webhook or channel that is its recipient."""

    Settings: ClassVar[type[AdapterSettings]] = DiscordSettings
    codes = CODES
    statuses: ClassVar[Mapping[int, Meaning]] = {
        400: Meaning.PERMANENT,
        401: Meaning.MISCONFIGURED,
        403: Meaning.PERMANENT,
        404: Meaning.BOUNCED,
        413: Meaning.PERMANENT,
    }

    def __init__(self, settings: DiscordSettings, timeout: timedelta) -> None:
        token = settings.token
        super().__init__(settings, timeout, *(() if token is None else (token,)))
        self._token = token
        self._channels = URL(str(settings.base_url)) / "channels"

    def request(self, delivery: Delivery, message: dict[str, Any]) -> Request:
        recipient = delivery.recipient
        if "text" in message:
            message = {"content": message["text"]} | message
            del message["text"]
        if "content" in message or not message.get("embeds"):
            text_of(message, TEXT_LIMIT, "content")
        message = {"allowed_mentions": {"parse": []}} | message
        if recipient.isascii() and recipient.isdigit():
            if self._token is None:
                raise ValueError("recipient is a channel, and no token is set")
            # At most 25 characters; within minutes, Discord makes a repeat the same message.
            nonce = base64.urlsafe_b64encode(delivery.delivery_id.bytes).rstrip(b"=").decode()
            body = orjson.dumps(message | {"nonce": nonce, "enforce_nonce": True})
            bot = {"Authorization": f"Bot {self._token.get_secret_value()}"}
            return Request(self._channels / recipient / "messages", body, bot)
        # Without `wait` the answer would come before the message is there.
        url = web_address(recipient).update_query(wait="true")
        return Request(url, orjson.dumps(message), is_recipient=True)

    def read(self, document: Any) -> Said:
        return Said(
            code=find(document, "code"),
            text=find(document, "message"),
            retry_after=seconds(document, "retry_after"),
            message_id=find(document, "id"),
        )
