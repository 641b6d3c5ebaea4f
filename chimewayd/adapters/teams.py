"""Send to Microsoft Teams: the recipient is the URL of a workflow, or of an old connector.

The payload is the message that the URL takes; `text` alone becomes an adaptive card.

Source: Microsoft's "Create incoming webhooks with Workflows" and "Send messages with connectors";
the errors of Azure Logic Apps' request trigger.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

import orjson

from chimewayd.adapters.base import AdapterSettings
from chimewayd.adapters.http_outcome import Meaning
from chimewayd.adapters.http_settings import HttpSettings
from chimewayd.adapters.messaging import (
    MessagingAdapter,
    Request,
    Said,
    find,
    text_of,
    web_address,
)
from chimewayd.models import Delivery

MESSAGE_LIMIT_BYTES = 28 * 1024

# A connector says 200, and in a sentence what Teams itself had answered.
_REFUSED_INSIDE = re.compile(r"returned HTTP error (\d{3})")


class TeamsSettings(HttpSettings):
    """Settings of a Teams channel: none of its own, for the URL holds the key."""


class TeamsAdapter(MessagingAdapter):
    """Posts each delivery to the URL that is its recipient."""

    Settings: ClassVar[type[AdapterSettings]] = TeamsSettings
    statuses: ClassVar[Mapping[int, Meaning]] = {
        400: Meaning.PERMANENT,
        # The key is part of the URL: who has the wrong one has the wrong recipient.
        401: Meaning.BOUNCED,
        403: Meaning.BOUNCED,
        404: Meaning.BOUNCED,
        410: Meaning.BOUNCED,
        413: Meaning.PERMANENT,
    }
    codes: ClassVar[Mapping[str, Meaning]] = {
        "WorkflowTriggerIsNotEnabled": Meaning.BOUNCED,
        "WorkflowNotFound": Meaning.BOUNCED,
        "DirectApiAuthorizationRequired": Meaning.BOUNCED,
        "TriggerInputSchemaMismatch": Meaning.PERMANENT,
        "InvalidRequestContent": Meaning.PERMANENT,
        # Of a connector: what Teams said inside.
        "HTTP error 400": Meaning.PERMANENT,
        "HTTP error 401": Meaning.BOUNCED,
        "HTTP error 403": Meaning.BOUNCED,
        "HTTP error 404": Meaning.BOUNCED,
        "HTTP error 410": Meaning.BOUNCED,
        "HTTP error 413": Meaning.PERMANENT,
        "HTTP error 429": Meaning.THROTTLED,
    }

    def __init__(self, settings: TeamsSettings, timeout: timedelta) -> None:
        super().__init__(settings, timeout)

    def request(self, delivery: Delivery, message: dict[str, Any]) -> Request:
        url = web_address(delivery.recipient)
        if not ("attachments" in message or "sections" in message):
            message = _card(text_of(message, MESSAGE_LIMIT_BYTES))
        body = orjson.dumps(message)
        if len(body) > MESSAGE_LIMIT_BYTES:
            raise ValueError(
                f"the message has {len(body)} bytes; Teams takes {MESSAGE_LIMIT_BYTES}"
            )
        return Request(url, body, is_recipient=True)

    def read(self, document: Any) -> Said:
        if isinstance(document, str) and (refused := _REFUSED_INSIDE.search(document)):
            return Said(code=f"HTTP error {refused[1]}", is_refusal=True)
        return Said(code=find(document, "error", "code"), text=find(document, "error", "message"))


def _card(text: str) -> dict[str, Any]:
    card = {
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [{"type": "TextBlock", "text": text, "wrap": True}],
    }
    content_type = "application/vnd.microsoft.card.adaptive"
    attachment = {"contentType": content_type, "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}
