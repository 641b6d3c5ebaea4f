"""Say what an HTTP answer means for the delivery.

    2xx                        succeeded
    3xx                        permanent: a redirect is never followed
    410, permanent_statuses    permanent
    429                        throttled, with its Retry-After
    everything else            temporary, with its Retry-After

Other 4xx are temporary on purpose: receivers misdeploy, and 401 or 404 are often gone a minute
later. An operator who knows better lists them in `permanent_statuses`.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import urlsplit

from chimewayd.adapters.evidence import clean
from chimewayd.models import Outcome, Permanent, Succeeded, Temporary, Throttled

LONGEST_RETRY_AFTER = timedelta(days=365)
"""Only a bound on nonsense: the channel's own cap is far below."""
_TARGET_LIMIT_BYTES = 200


def classify(
    status: int,
    headers: Mapping[str, str],
    excerpt: str | None,
    now: datetime,
    permanent_statuses: frozenset[int] = frozenset(),
) -> Outcome:
    """Return the outcome of an answer; `headers` are looked up as `Retry-After`, `Location`."""
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return Succeeded(status_code=status, response=excerpt)
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        where = _without_query(headers.get("Location"))
        return Permanent(
            detail=f"redirect_not_followed: {_named(status)}, to {where}",
            status_code=status,
            response=excerpt,
        )
    if status == HTTPStatus.GONE or status in permanent_statuses:
        return Permanent(
            detail=f"refused for good: {_named(status)}", status_code=status, response=excerpt
        )
    kind = Throttled if status == HTTPStatus.TOO_MANY_REQUESTS else Temporary
    return kind(
        detail=_named(status),
        status_code=status,
        response=excerpt,
        retry_after=parse_retry_after(headers.get("Retry-After"), now),
    )


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


def _named(status: int) -> str:
    try:
        return f"HTTP {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"HTTP {status}"


def _without_query(location: str | None) -> str:
    """Name a redirect's target without what may be secret in it: user, query, fragment."""
    if not location:
        return "nowhere"
    try:
        parts = urlsplit(location)
    except ValueError:
        return "an unreadable target"
    host = parts.netloc.rpartition("@")[2]
    origin = f"{parts.scheme}://{host}" if host and parts.scheme else f"//{host}" if host else ""
    return clean(origin + parts.path, limit_bytes=_TARGET_LIMIT_BYTES) or "an unreadable target"
