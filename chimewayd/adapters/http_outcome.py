"""Say what an HTTP answer means for the delivery.

    by the status    MEANINGS, else its hundred in HUNDREDS; a channel's own words win
    by the header    webhook-delivery: disable or abort-message, from whoever does not accept

Other 4xx are temporary on purpose: receivers misdeploy, and 401 or 404 are often gone a minute
later. An operator who knows better lists them in `permanent_statuses`.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from http import HTTPStatus
from typing import assert_never
from urllib.parse import urlsplit

from chimewayd.adapters.evidence import clean
from chimewayd.adapters.http_request import KEY_IN_PATH
from chimewayd.models import (
    Bounced,
    Misconfigured,
    Outcome,
    Permanent,
    Succeeded,
    Temporary,
    Throttled,
    Uncertain,
    Unsubscribed,
)
from chimewayd.redaction import STRUCK

LONGEST_RETRY_AFTER = timedelta(days=365)
"""Only a bound on nonsense: the channel's own cap is far below."""
_TARGET_LIMIT_BYTES = 200


class Meaning(StrEnum):
    """What an answer can mean."""

    SUCCEEDED = "succeeded"
    TEMPORARY = "temporary"
    THROTTLED = "throttled"
    PERMANENT = "permanent"
    BOUNCED = "bounced"
    UNSUBSCRIBED = "unsubscribed"
    UNCERTAIN = "uncertain"
    MISCONFIGURED = "misconfigured"


MEANINGS: Mapping[int, Meaning] = {
    HTTPStatus.GONE: Meaning.UNSUBSCRIBED,
    HTTPStatus.TOO_MANY_REQUESTS: Meaning.THROTTLED,
}
HUNDREDS: Mapping[int, Meaning] = {
    2: Meaning.SUCCEEDED,
    3: Meaning.PERMANENT,  # a redirect is never followed
    4: Meaning.TEMPORARY,
    5: Meaning.TEMPORARY,
}
_PLAIN: Mapping[Meaning, type[Outcome]] = {
    Meaning.PERMANENT: Permanent,
    Meaning.BOUNCED: Bounced,
    Meaning.UNSUBSCRIBED: Unsubscribed,
    Meaning.UNCERTAIN: Uncertain,
    Meaning.MISCONFIGURED: Misconfigured,
}
# Source: the control header of Svix, which receivers of Standard Webhooks know.
CONTROL_HEADER = "webhook-delivery"
CONTROLS: Mapping[str, Meaning] = {
    "abort-message": Meaning.PERMANENT,
    "disable": Meaning.UNSUBSCRIBED,
}


def meaning_of(status: int) -> Meaning:
    """Say what a status means where nobody knows better."""
    return MEANINGS.get(status) or HUNDREDS.get(status // 100, Meaning.TEMPORARY)


def classify(
    status: int,
    headers: Mapping[str, str],
    excerpt: str | None,
    now: datetime,
    permanent_statuses: frozenset[int] = frozenset(),
    *,
    suppresses: bool = True,
) -> Outcome:
    """Return the outcome of a receiver's answer; `headers` takes names in any letter case.

    `suppresses`: whether a receiver that wants nothing any more is suppressed.
    """
    meaning = Meaning.PERMANENT if status in permanent_statuses else meaning_of(status)
    if meaning is Meaning.SUCCEEDED:
        return Succeeded(status_code=status, response=excerpt)
    control = CONTROLS.get((headers.get(CONTROL_HEADER) or "").strip().lower())
    detail = describe(status)
    if Meaning.UNSUBSCRIBED in (meaning, control):
        meaning = Meaning.UNSUBSCRIBED if suppresses else Meaning.PERMANENT
        detail = f"the receiver wants nothing any more: {detail}"
    elif control is not None:
        meaning, detail = control, f"the receiver wants no repeat of this: {detail}"
    elif HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        where = _without_query(headers.get("Location"))
        detail = f"redirect_not_followed: {detail}, to {where}"
    elif meaning is Meaning.PERMANENT:
        detail = f"refused for good: {detail}"
    return outcome_of(
        meaning,
        status=status,
        detail=detail,
        excerpt=excerpt,
        retry_after=parse_retry_after(headers.get("Retry-After"), now),
    )


def outcome_of(
    meaning: Meaning,
    *,
    status: int,
    detail: str,
    excerpt: str | None,
    retry_after: timedelta | None = None,
    provider_message_id: str | None = None,
) -> Outcome:
    """Make the outcome that a meaning stands for; success needs no detail."""
    match meaning:
        case Meaning.SUCCEEDED:
            return Succeeded(
                status_code=status, response=excerpt, provider_message_id=provider_message_id
            )
        case Meaning.TEMPORARY | Meaning.THROTTLED:
            kind = Temporary if meaning is Meaning.TEMPORARY else Throttled
            return kind(
                detail=detail, status_code=status, response=excerpt, retry_after=retry_after
            )
        case (
            Meaning.PERMANENT
            | Meaning.BOUNCED
            | Meaning.UNSUBSCRIBED
            | Meaning.UNCERTAIN
            | Meaning.MISCONFIGURED
        ):
            return _PLAIN[meaning](detail=detail, status_code=status, response=excerpt)
        case _:
            assert_never(meaning)


def parse_retry_after(text: str | None, now: datetime) -> timedelta | None:
    """Return how long to wait, or None where the header is absent, past or not understood.

    Source: RFC 9110 section 10.2.3 (delay-seconds or HTTP-date).
    """
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        # Compared by length first: int() refuses thousands of digits, timedelta a few dozen.
        if len(text.lstrip("0")) > len(str(int(LONGEST_RETRY_AFTER.total_seconds()))):
            return LONGEST_RETRY_AFTER
        return min(timedelta(seconds=int(text.lstrip("0") or "0")), LONGEST_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(text)
        # An HTTP date is in GMT even where an old form does not say so.
        wait = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(wait, LONGEST_RETRY_AFTER) if wait >= timedelta() else None


def describe(status: int) -> str:
    """Name a status, as in `HTTP 404 Not Found`."""
    try:
        return f"HTTP {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"HTTP {status}"


def _without_query(location: str | None) -> str:
    """Name a redirect's target without what may be a key: user, long parts, query, fragment."""
    if not location:
        return "nowhere"
    try:
        parts = urlsplit(location)
    except ValueError:
        return "an unreadable target"
    host = parts.netloc.rpartition("@")[2]
    origin = f"{parts.scheme}://{host}" if host and parts.scheme else f"//{host}" if host else ""
    path = KEY_IN_PATH.sub(STRUCK, parts.path)
    return clean(origin + path, limit_bytes=_TARGET_LIMIT_BYTES) or "an unreadable target"
