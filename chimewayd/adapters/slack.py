"""Send to Slack: to an incoming webhook (its URL), or with a bot's token to a channel or user.

The payload is Slack's message object; `text` alone will do.

Source: Slack's chat.postMessage, incoming webhooks, and rate limits.
"""

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
    text_of,
    web_address,
)
from chimewayd.models import Delivery

TEXT_LIMIT = 40_000

_BOUNCED = (
    "channel_not_found channel_is_archived is_archived user_not_found users_not_found "
    "user_disabled no_service no_service_id no_team team_disabled no_active_hooks invalid_token "
    "cannot_dm_bot messages_tab_disabled team_not_found"
)
_THROTTLED = "ratelimited rate_limited message_limit_exceeded"
_MISCONFIGURED = (
    "invalid_auth not_authed account_inactive token_revoked token_expired missing_scope "
    "no_permission org_login_required ekm_access_denied not_allowed_token_type access_denied "
    "team_access_not_granted enterprise_is_restricted"
)
_PERMANENT = (
    "msg_too_long no_text invalid_blocks invalid_blocks_format msg_blocks_too_long "
    "too_many_attachments attachment_payload_limit_exceeded invalid_arguments invalid_payload "
    "invalid_json json_not_object action_prohibited restricted_action not_in_channel "
    "posting_to_general_channel_denied missing_text_or_fallback_or_attachments "
    "as_user_not_supported"
)
# Slack's own words: some aspect of the operation may have succeeded before the error.
_UNCERTAIN = "internal_error fatal_error"
CODES: Mapping[str, Meaning] = {
    code: meaning
    for codes, meaning in (
        (_BOUNCED, Meaning.BOUNCED),
        (_THROTTLED, Meaning.THROTTLED),
        (_MISCONFIGURED, Meaning.MISCONFIGURED),
        (_PERMANENT, Meaning.PERMANENT),
        (_UNCERTAIN, Meaning.UNCERTAIN),
    )
    for code in codes.split()
}


class SlackSettings(HttpSettings):
    """Settings of a Slack channel."""

    token: SecretStr | None = Field(
        default=None, min_length=1, description="a bot's token, as in xoxb-…"
    )
    base_url: AnyHttpUrl = Field(
        default=AnyHttpUrl("https://slack.com/api/"), description="where the methods are"
    )


class SlackAdapter(MessagingAdapter):
    """Posts each delivery to the webhook or the conversation that is its recipient."""

    Settings: ClassVar[type[AdapterSettings]] = SlackSettings
    codes = CODES

    def __init__(self, settings: SlackSettings, timeout: timedelta) -> None:
        token = settings.token
        super().__init__(settings, timeout, *(() if token is None else (token,)))
        self._token = token
        self._method = URL(str(settings.base_url)) / "chat.postMessage"

    def request(self, delivery: Delivery, message: dict[str, Any]) -> Request:
        if "text" in message or not ("blocks" in message or "attachments" in message):
            text_of(message, TEXT_LIMIT)
        if delivery.recipient.lower().startswith(("https:", "http:")):
            # The token is not for whoever this address belongs to.
            url = web_address(delivery.recipient)
            return Request(url, orjson.dumps(message), is_recipient=True)
        if self._token is None:
            raise ValueError("recipient is no URL, and the channel has no token for anything else")
        if not delivery.recipient.strip():
            raise ValueError("recipient is empty")
        body = orjson.dumps(message | {"channel": delivery.recipient})
        bearer = {"Authorization": f"Bearer {self._token.get_secret_value()}"}
        return Request(self._method, body, bearer)

    def read(self, document: Any) -> Said:
        if isinstance(document, str):
            # A webhook answers in a word: ok, or what is wrong.
            word = next(iter(document.split()), None)
            return Said() if document == "ok" else Said(code=word)
        return Said(
            code=find(document, "error"),
            message_id=find(document, "ts"),
            is_refusal=isinstance(document, dict) and document.get("ok") is False,
        )
