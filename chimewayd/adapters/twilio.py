"""Send a text through Twilio: the recipient is a number, as in +4915123456789.

`whatsapp:` and `messenger:` before it work, too. The payload's `text` is the message; `media_urls`
go with it.

Source: Twilio's Messages resource and its error and warning dictionary.
"""

import base64
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar
from urllib.parse import urlencode

from pydantic import AnyHttpUrl, Field, SecretStr
from yarl import URL

from chimewayd.adapters.base import AdapterSettings
from chimewayd.adapters.http_outcome import Meaning
from chimewayd.adapters.http_settings import HttpSettings
from chimewayd.adapters.messaging import MessagingAdapter, Request, Said, find, text_of
from chimewayd.models import Delivery

TEXT_LIMIT = 1600
_NUMBER = re.compile(r"(?:[a-z]+:)?\+[1-9][0-9]{1,14}|messenger:[0-9]{1,30}")
_SERVICE = re.compile(r"MG[0-9a-f]{32}")

CODES: Mapping[str, Meaning] = {
    "21211": Meaning.BOUNCED,  # not a valid number
    "21217": Meaning.BOUNCED,
    "21610": Meaning.BOUNCED,  # they opted out
    "21612": Meaning.BOUNCED,  # not reachable from this sender
    "21614": Meaning.BOUNCED,  # not a mobile number
    "21265": Meaning.BOUNCED,
    "14107": Meaning.THROTTLED,
    "20429": Meaning.THROTTLED,
    "21611": Meaning.THROTTLED,  # the sender's queue is full
    "63038": Meaning.THROTTLED,  # the day's limit
    "10001": Meaning.MISCONFIGURED,  # the account is not active
    "20003": Meaning.MISCONFIGURED,  # wrong credentials
    "20005": Meaning.MISCONFIGURED,
    "20404": Meaning.MISCONFIGURED,  # no such account
    "21212": Meaning.MISCONFIGURED,  # the sender is no number
    "21603": Meaning.MISCONFIGURED,  # no sender
    "21606": Meaning.MISCONFIGURED,  # the sender is not ours, or sends no texts
    "21659": Meaning.MISCONFIGURED,
    "21660": Meaning.MISCONFIGURED,
    "21703": Meaning.MISCONFIGURED,  # the service has no sender
    "21705": Meaning.MISCONFIGURED,
    # One number's country or one trial's list must not pause the channel for all the others.
    "21408": Meaning.PERMANENT,
    "21608": Meaning.PERMANENT,
}


class TwilioSettings(HttpSettings):
    """Settings of a Twilio channel."""

    account_sid: str = Field(pattern=r"^AC[0-9a-f]{32}$", description="AC and 32 hex digits")
    auth_token: SecretStr = Field(
        min_length=1, description="the account's token, or the secret of key_sid"
    )
    key_sid: str | None = Field(
        default=None, pattern=r"^SK[0-9a-f]{32}$", description="SK and 32 hex digits"
    )
    sender: str = Field(
        min_length=1, description="a number, a name, or the MG… of a messaging service"
    )
    base_url: AnyHttpUrl = Field(
        default=AnyHttpUrl("https://api.twilio.com/"), description="where the API is"
    )


class TwilioAdapter(MessagingAdapter):
    """Texts each delivery to the number that is its recipient."""

    Settings: ClassVar[type[AdapterSettings]] = TwilioSettings
    codes = CODES
    statuses: ClassVar[Mapping[int, Meaning]] = {
        400: Meaning.PERMANENT,
        401: Meaning.MISCONFIGURED,
    }

    def __init__(self, settings: TwilioSettings, timeout: timedelta) -> None:
        login = (
            f"{settings.key_sid or settings.account_sid}:{settings.auth_token.get_secret_value()}"
        )
        basic = base64.b64encode(login.encode()).decode()
        super().__init__(settings, timeout, settings.auth_token, SecretStr(basic))
        account = URL(str(settings.base_url)) / "2010-04-01/Accounts" / settings.account_sid
        self._messages = account / "Messages.json"
        by = "MessagingServiceSid" if _SERVICE.fullmatch(settings.sender) else "From"
        self._sender = (by, settings.sender)
        self._headers = {
            "Authorization": f"Basic {basic}",
            "Content-Type": "application/x-www-form-urlencoded",
        }

    def request(self, delivery: Delivery, message: dict[str, Any]) -> Request:
        if not _NUMBER.fullmatch(delivery.recipient):
            raise ValueError("recipient is no number that begins with + and the country's code")
        media = message.get("media_urls", [])
        if not isinstance(media, list) or not all(isinstance(url, str) for url in media):
            raise ValueError("media_urls of the payload is no list of URLs")
        fields = [self._sender, ("To", delivery.recipient)]
        if "text" in message or not media:
            fields.append(("Body", text_of(message, TEXT_LIMIT)))
        fields += [("MediaUrl", url) for url in media]
        return Request(self._messages, urlencode(fields).encode(), self._headers)

    def read(self, document: Any) -> Said:
        return Said(
            code=find(document, "code"),
            text=find(document, "message"),
            message_id=find(document, "sid"),
        )
