"""What the adapters of chat and text services share: one JSON answer, judged by tables.

    payload ─▶ request ─▶ answer ─▶ the provider's own code ─▶ codes, else statuses, else HTTP's

An adapter of this kind says where a message goes and how it is written, where in the answer the
provider's code stands, and what the codes mean. A code that nobody listed is judged by its
status, and one in an answer that looks like success is temporary.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, NamedTuple

import orjson
from pydantic import SecretStr
from yarl import URL

from chimewayd import __version__
from chimewayd.adapters.evidence import (
    DETAIL_LIMIT_BYTES,
    MESSAGE_ID_LIMIT_BYTES,
    clean,
    secret_words,
)
from chimewayd.adapters.http_call import Answer, HttpAdapter
from chimewayd.adapters.http_outcome import (
    LONGEST_RETRY_AFTER,
    Meaning,
    describe,
    meaning_of,
    outcome_of,
    parse_retry_after,
)
from chimewayd.adapters.http_request import keys_of, target
from chimewayd.adapters.http_settings import HttpSettings, login_secrets
from chimewayd.models import Delivery, Outcome, Permanent


class Request(NamedTuple):
    """One message, ready to be sent; headers beyond those that all share."""

    url: URL
    body: bytes
    headers: Mapping[str, str] = {}
    is_recipient: bool = False
    """Whether the address is the recipient itself, and with it the key and whoever answers."""
    secrets: tuple[str, ...] = ()
    """What no outcome may hold, beside the secrets of the channel and of the address."""


class Said(NamedTuple):
    """What an answer said, as far as it said it well."""

    code: str | None = None
    text: str | None = None
    retry_after: timedelta | None = None
    message_id: str | None = None
    is_refusal: bool = False
    """Whatever the status: some providers refuse with 200."""


class MessagingAdapter(HttpAdapter, ABC):
    """Base of an adapter whose provider answers in JSON with codes of its own."""

    codes: ClassVar[Mapping[str, Meaning]]
    statuses: ClassVar[Mapping[int, Meaning]] = {}

    def __init__(self, settings: HttpSettings, timeout: timedelta, *secrets: SecretStr) -> None:
        super().__init__(settings, timeout)
        own = (secret.get_secret_value() for secret in secrets)
        self._secrets = secret_words((*own, *settings.proxy_secrets()))

    @abstractmethod
    def request(self, delivery: Delivery, message: dict[str, Any]) -> Request:
        """Write the message; `message` is the payload.

        Raises:
            ValueError: recipient or payload cannot be sent; says why, without their values.
        """

    @abstractmethod
    def read(self, document: Any) -> Said:
        """Read an answer; `document` is its JSON, its text, or None."""

    async def deliver(self, delivery: Delivery) -> Outcome:
        request = self.written(delivery)
        return request if isinstance(request, Outcome) else await self.send(delivery, request)

    def written(self, delivery: Delivery) -> Request | Outcome:
        """Write the message, or say why it cannot be sent."""
        try:
            return self.request(delivery, _message(delivery.payload_json))
        except ValueError as error:
            return Permanent(detail=str(error))
        except orjson.JSONEncodeError:
            # It reads what is nested deeper than what it writes.
            return Permanent(detail="the payload is nested too deep")

    async def send(
        self, delivery: Delivery, request: Request, within: timedelta | None = None
    ) -> Outcome:
        """Make the one call; `within`: if less than the channel's timeout is left."""
        headers = {
            "Accept-Encoding": "identity",
            "Content-Type": "application/json; charset=utf-8",
            # None of them heeds it yet; a gateway between may.
            "Idempotency-Key": str(delivery.delivery_id),
            "User-Agent": f"chimewayd/{__version__}",
            **request.headers,
        }
        answer = await self.call(
            "POST",
            request.url,
            request.body,
            headers,
            is_ours=not request.is_recipient,
            within=within,
        )
        if isinstance(answer, Outcome):
            return answer
        return self._judge(request, answer)

    def _judge(self, request: Request, answer: Answer) -> Outcome:
        address = (str(request.url), *keys_of(request.url), *login_secrets(request.url))
        secrets = self._secrets + secret_words((*address, *request.secrets))
        said = self.read(_document(answer.body))
        meaning = self._meaning(answer.status, said)
        if meaning is Meaning.MISCONFIGURED and request.is_recipient:
            # Otherwise one recipient could pause the channel for all the others.
            meaning = Meaning.BOUNCED
        described = (
            describe(answer.status),
            said.code,
            said.text if said.text != said.code else "",
        )
        detail = ": ".join(part for part in described if part)
        message_id = clean(said.message_id or "", secrets, MESSAGE_ID_LIMIT_BYTES)
        return outcome_of(
            meaning,
            status=answer.status,
            detail=clean(detail, secrets, DETAIL_LIMIT_BYTES) or describe(answer.status),
            # Who accepted a message repeats it, and it is for nobody else to read.
            excerpt=None if meaning is Meaning.SUCCEEDED else clean(answer.body, secrets),
            retry_after=said.retry_after
            or parse_retry_after(answer.headers.get("Retry-After"), datetime.now(UTC)),
            provider_message_id=message_id,
        )

    def _meaning(self, status: int, said: Said) -> Meaning:
        if said.code is not None and said.code in self.codes:
            return self.codes[said.code]
        meaning = self.statuses.get(status) or meaning_of(status)
        return Meaning.TEMPORARY if said.is_refusal and meaning is Meaning.SUCCEEDED else meaning


def text_of(message: Mapping[str, Any], limit: int, key: str = "text") -> str:
    """Return the text of a message.

    Raises:
        ValueError: there is none, or it has more than `limit` characters.
    """
    text = message.get(key)
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"the payload has no {key}")
    if len(text) > limit:
        raise ValueError(f"the {key} has {len(text)} characters; the provider takes {limit}")
    return text


def web_address(recipient: str) -> URL:
    """Return a recipient that is the address of an incoming webhook.

    Raises:
        ValueError: it is not; says why, without its value.
    """
    try:
        return target(recipient)
    except ValueError as error:
        raise ValueError(f"recipient {error}") from None


def find(document: Any, *path: str) -> str | None:
    """Return the text or number at a path of keys, as text."""
    for key in path:
        document = document.get(key) if isinstance(document, dict) else None
    is_plain = isinstance(document, str | int) and not isinstance(document, bool)
    return str(document) if is_plain else None


def seconds(document: Any, *path: str) -> timedelta | None:
    """Return the number of seconds at a path of keys, as a duration."""
    *above, last = path
    for key in above:
        document = document.get(key) if isinstance(document, dict) else None
    number = document.get(last) if isinstance(document, dict) else None
    if not isinstance(number, int | float) or isinstance(number, bool) or number < 0:
        return None
    # Compared first: a duration cannot hold every number, and none is longer than this.
    if number >= LONGEST_RETRY_AFTER.total_seconds():
        return LONGEST_RETRY_AFTER
    return timedelta(seconds=number)


def _message(payload_json: str) -> dict[str, Any]:
    try:
        message = orjson.loads(payload_json)
    except orjson.JSONDecodeError:
        raise ValueError("the payload cannot be read as JSON") from None
    if not isinstance(message, dict):
        raise ValueError("the payload is no JSON object")  # noqa: TRY004 - data, not a bug
    return message


def _document(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode(errors="replace").strip() or None
