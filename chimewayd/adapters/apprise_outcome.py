"""Say what an Apprise plug-in's yes or no means, as far as its log lines tell.

    True ─▶ succeeded
    False ─▶ its lines: no connection ─▶ temporary
                        lost or timed out after it ─▶ uncertain
                        error=429 ─▶ throttled, any other error=… or none ─▶ temporary

Apprise hides what the provider answered; its plug-ins only log it, most of them in these words.
What they do not say cannot be known here, so nothing is ever permanent or bounced.
"""

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import NamedTuple

from chimewayd.adapters.evidence import DETAIL_LIMIT_BYTES, clean
from chimewayd.models import Outcome, Succeeded, Temporary, Throttled, Uncertain

RESPONSE_LIMIT_BYTES = 1024
"""Plug-ins cut it at 2000 bytes, perhaps through a secret: what may be half of one is not kept."""

_STATUS = re.compile(r"\berror=(\d{3})\b")
_RESPONSE = "Response Details:"
_SOCKET = ("Socket Exception:", "A Connection error occurred")
# requests makes no second try, so that only what failed before the request has this name.
_NOTHING_SENT = (
    *("Max retries exceeded", "Connection refused", "Name or service not known"),
    *("Temporary failure in name resolution", "Network is unreachable", "No route to host"),
)


class Line(NamedTuple):
    """One line that a plug-in logged during a call."""

    is_warning: bool
    text: str


def judge(lines: Sequence[Line], secrets: Sequence[str], *, was_accepted: bool) -> Outcome:
    """Return the outcome of one call."""
    if was_accepted:
        return Succeeded()
    told = [line.text for line in lines if line.is_warning]
    every = [line.text for line in lines]
    detail = clean(told[-1], secrets, DETAIL_LIMIT_BYTES) if told else "Apprise did not say why"
    if any(sign in text for text in every for sign in _SOCKET):
        is_unsent = any(sign in text for text in every for sign in _NOTHING_SENT)
        return Temporary(detail=detail) if is_unsent else Uncertain(detail=detail)
    found = [match for text in told if (match := _STATUS.search(text))]
    status = int(found[-1][1]) if found else None
    said = [text.removeprefix(_RESPONSE) for text in every if text.startswith(_RESPONSE)]
    response = clean(said[-1], secrets, RESPONSE_LIMIT_BYTES) if said else None
    kind = Throttled if status == HTTPStatus.TOO_MANY_REQUESTS else Temporary
    return kind(detail=detail, status_code=status, response=response)
