"""Send to Telegram as a bot: the recipient is the id of a chat, or @name of a public channel.

The payload is the object of `sendMessage`; `text` alone will do.

Source: Telegram's Bot API, "Making requests", ResponseParameters and sendMessage.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

import orjson
from pydantic import AnyHttpUrl, Field, SecretStr, field_validator
from yarl import URL

from chimewayd.adapters.base import AdapterSettings
from chimewayd.adapters.http_outcome import Meaning
from chimewayd.adapters.http_settings import HttpSettings
from chimewayd.adapters.messaging import MessagingAdapter, Request, Said, find, seconds, text_of
from chimewayd.models import Delivery

TEXT_LIMIT = 4096
_TOKEN = re.compile(r"[0-9]{1,20}:[A-Za-z0-9_-]{6,100}")
_CHAT = re.compile(r"-?[0-9]{1,20}|@[A-Za-z0-9_]{1,64}")

# Telegram has no codes beside the status; its descriptions have kept their wording for years.
CODES: Mapping[str, Meaning] = {
    "chat not found": Meaning.BOUNCED,
    "user not found": Meaning.BOUNCED,
    "PEER_ID_INVALID": Meaning.BOUNCED,
    "group chat was upgraded to a supergroup chat": Meaning.BOUNCED,
    "group chat was deactivated": Meaning.BOUNCED,
    "the group chat was deleted": Meaning.BOUNCED,
}


class TelegramSettings(HttpSettings):
    """Settings of a Telegram channel."""

    token: SecretStr = Field(description="the bot's token from BotFather, as in 123456:ABC…")
    base_url: AnyHttpUrl = Field(
        default=AnyHttpUrl("https://api.telegram.org/"), description="where the Bot API is"
    )

    @field_validator("token")
    @classmethod
    def _is_a_token(cls, token: SecretStr) -> SecretStr:
        if not _TOKEN.fullmatch(token.get_secret_value()):
            raise ValueError("is no token of a bot")
        return token


class TelegramAdapter(MessagingAdapter):
    """Sends each delivery to the chat that is its recipient."""

    Settings: ClassVar[type[AdapterSettings]] = TelegramSettings
    codes = CODES
    statuses: ClassVar[Mapping[int, Meaning]] = {
        400: Meaning.PERMANENT,
        401: Meaning.MISCONFIGURED,
        403: Meaning.BOUNCED,  # blocked, kicked, deactivated, never began a conversation
        404: Meaning.MISCONFIGURED,  # no bot has this token
        413: Meaning.PERMANENT,
    }

    def __init__(self, settings: TelegramSettings, timeout: timedelta) -> None:
        token = settings.token.get_secret_value()
        super().__init__(settings, timeout, settings.token, SecretStr(token.partition(":")[2]))
        self._method = URL(str(settings.base_url)) / f"bot{token}" / "sendMessage"

    def request(self, delivery: Delivery, message: dict[str, Any]) -> Request:
        if not _CHAT.fullmatch(delivery.recipient):
            raise ValueError("recipient is neither the number of a chat nor @name of a channel")
        # Marks of a format are not counted, and only Telegram knows how many there are.
        is_plain = not message.get("parse_mode")
        text_of(message, TEXT_LIMIT if is_plain else len(str(message.get("text"))))
        return Request(self._method, orjson.dumps(message | {"chat_id": delivery.recipient}))

    def read(self, document: Any) -> Said:
        described = find(document, "description") or ""
        code = described.partition(": ")[2] or described
        moved_to = find(document, "parameters", "migrate_to_chat_id")
        return Said(
            code=code or None,
            text=f"the chat is now {moved_to}" if moved_to else None,
            retry_after=seconds(document, "parameters", "retry_after"),
            message_id=find(document, "result", "message_id"),
            is_refusal=isinstance(document, dict) and document.get("ok") is False,
        )
