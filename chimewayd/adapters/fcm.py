"""Push through Firebase Cloud Messaging: the recipient is an app's registration token.

`/topics/NAME` reaches a topic. The payload is FCM's message object without its target; `text`,
with a `title` or without, stands in for `notification`.

Source: FCM's HTTP v1 API: projects.messages, ErrorCode, "Handle errors".
"""

import re
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from http import HTTPStatus
from typing import Any, ClassVar

import orjson
from pydantic import AnyHttpUrl, Field, SecretStr, field_validator
from yarl import URL

from chimewayd.adapters.base import AdapterSettings, Reach
from chimewayd.adapters.google_token import AccessToken, ServiceAccount, TokenStore
from chimewayd.adapters.http_call import Answer
from chimewayd.adapters.http_outcome import Meaning
from chimewayd.adapters.http_settings import HttpSettings
from chimewayd.adapters.messaging import MessagingAdapter, Request, Said, find, text_of
from chimewayd.models import Delivery, Misconfigured, Outcome, Succeeded, Temporary, Throttled

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
TEXT_LIMIT = 4096
_TOKEN = re.compile(r"[A-Za-z0-9_:.-]{6,4096}")
_TOPIC = re.compile(r"/topics/([A-Za-z0-9_.~%-]{1,900})")
_TARGETS = frozenset({"token", "topic", "condition"})
_SHORTEST_WAIT = timedelta(minutes=1)
"""Of a quota, where no header says more."""

CODES: Mapping[str, Meaning] = {
    "UNREGISTERED": Meaning.UNSUBSCRIBED,  # gone for good: a device that returns has another
    "NOT_FOUND": Meaning.BOUNCED,
    "SENDER_ID_MISMATCH": Meaning.BOUNCED,  # registered with somebody else's project
    "INVALID_ARGUMENT": Meaning.PERMANENT,
    "QUOTA_EXCEEDED": Meaning.THROTTLED,
    "RESOURCE_EXHAUSTED": Meaning.THROTTLED,
    "UNAVAILABLE": Meaning.TEMPORARY,
    "INTERNAL": Meaning.TEMPORARY,
    # Our credentials with Apple or for the web. Those devices alone must wait for it: one of
    # them must not pause the channel for all the others.
    "THIRD_PARTY_AUTH_ERROR": Meaning.TEMPORARY,
    "PERMISSION_DENIED": Meaning.MISCONFIGURED,
    "UNAUTHENTICATED": Meaning.MISCONFIGURED,
}


class FcmSettings(HttpSettings):
    """Settings of a FCM channel."""

    service_account: SecretStr = Field(
        description="the JSON of a service account's key, as Google hands it out"
    )
    project_id: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9][a-z0-9.:-]{0,98}$",
        description="the Firebase project, if not the account's own",
    )
    base_url: AnyHttpUrl = Field(
        default=AnyHttpUrl("https://fcm.googleapis.com/"), description="where the API is"
    )

    @field_validator("service_account", mode="before")
    @classmethod
    def _may_be_a_table(cls, given: object) -> object:
        return orjson.dumps(given).decode() if isinstance(given, dict) else given

    @field_validator("service_account")
    @classmethod
    def _is_a_key(cls, key: SecretStr) -> SecretStr:
        ServiceAccount.read(key.get_secret_value())
        return key


class FcmAdapter(MessagingAdapter):
    """Pushes each delivery to the app, or the topic, that is its recipient."""

    Settings: ClassVar[type[AdapterSettings]] = FcmSettings
    codes = CODES
    statuses: ClassVar[Mapping[int, Meaning]] = {
        400: Meaning.PERMANENT,
        401: Meaning.MISCONFIGURED,
        403: Meaning.MISCONFIGURED,
        404: Meaning.MISCONFIGURED,  # not FCM's own words: there is no such API
        413: Meaning.PERMANENT,
    }

    def __init__(self, settings: FcmSettings, timeout: timedelta) -> None:
        super().__init__(settings, timeout)
        account = ServiceAccount.read(settings.service_account.get_secret_value())
        projects = URL(str(settings.base_url)) / "v1/projects"
        self._send = projects / (settings.project_id or account.project_id) / "messages:send"
        self._tokens = TokenStore(account, SCOPE, self._post)

    async def deliver(self, delivery: Delivery) -> Outcome:
        ends_at = time.monotonic() + self._timeout.total_seconds()
        written = self.written(delivery)
        if isinstance(written, Outcome):
            return written
        # Half of the time at most, so that a message can still be sent with what comes late.
        token = await self._tokens.get(self._timeout / 2)
        if isinstance(token, Outcome):
            return token
        request = written._replace(
            headers={"Authorization": f"Bearer {token.value}"},
            secrets=(token.value, delivery.recipient),
        )
        within = timedelta(seconds=ends_at - time.monotonic())
        return self._judged(await self.send(delivery, request, within), token)

    def request(self, delivery: Delivery, message: dict[str, Any]) -> Request:
        if named := _TARGETS & message.keys():
            raise ValueError(f"the payload holds {', '.join(sorted(named))}: that is the recipient")
        message = {**message, **_target(delivery.recipient)}
        if "text" in message:
            shown = {"body": text_of(message, TEXT_LIMIT), "title": message.get("title")}
            message["notification"] = {name: text for name, text in shown.items() if text}
            del message["text"]
            message.pop("title", None)
        _replace_the_first(message, str(delivery.delivery_id))
        return Request(self._send, orjson.dumps({"message": message}))

    def read(self, document: Any) -> Said:
        name = find(document, "name") or ""
        return Said(
            code=_code_of(document) or find(document, "error", "status"),
            text=find(document, "error", "message"),
            message_id=name.rpartition("/")[2] or None,
        )

    async def reach(self, recipients: Sequence[str]) -> list[Reach]:
        token = await self._tokens.get(self._timeout)
        where = "access token of the service account"
        problem = None if isinstance(token, AccessToken) else token.detail or "failed"
        return [Reach(where, problem), *await super().reach(recipients)]

    def _judged(self, outcome: Outcome, token: AccessToken) -> Outcome:
        """Weigh a refused token: one that worked before has only become old."""
        if isinstance(outcome, Succeeded):
            token.was_accepted = True
        if isinstance(outcome, Throttled) and outcome.retry_after is None:
            return Throttled(
                detail=outcome.detail,
                status_code=outcome.status_code,
                response=outcome.response,
                retry_after=_SHORTEST_WAIT,
            )
        is_refused = isinstance(outcome, Misconfigured)
        if not is_refused or outcome.status_code != HTTPStatus.UNAUTHORIZED:
            return outcome
        self._tokens.drop(token)
        if not token.was_accepted:
            return outcome
        return Temporary(
            detail=outcome.detail, status_code=outcome.status_code, response=outcome.response
        )

    async def _post(
        self, url: URL, body: bytes, headers: Mapping[str, str], within: timedelta
    ) -> Answer | Outcome:
        return await self.call("POST", url, body, headers, is_ours=True, within=within)


def _target(recipient: str) -> dict[str, str]:
    if topic := _TOPIC.fullmatch(recipient):
        return {"topic": topic[1]}
    if not _TOKEN.fullmatch(recipient):
        raise ValueError("recipient is neither a registration token nor /topics/NAME")
    return {"token": recipient}


def _replace_the_first(message: dict[str, Any], key: str) -> None:
    """Let a repeat take the place of what is shown already, unless the payload says otherwise."""
    if "notification" not in message:
        return
    android = message.setdefault("android", {})
    shown = android.setdefault("notification", {}) if isinstance(android, dict) else None
    if isinstance(shown, dict):
        shown.setdefault("tag", key)
    apns = message.setdefault("apns", {})
    headers = apns.setdefault("headers", {}) if isinstance(apns, dict) else None
    if isinstance(headers, dict):
        headers.setdefault("apns-collapse-id", key)


def _code_of(document: Any) -> str | None:
    """Return the code that FCM adds to Google's own status."""
    error = document.get("error") if isinstance(document, dict) else None
    details = error.get("details") if isinstance(error, dict) else None
    codes = [find(one, "errorCode") for one in details] if isinstance(details, list) else []
    return next((code for code in codes if code), None)
