"""Say what a relay's answer means for the delivery.

                     before a mail      MAIL            RCPT             final dot
    2xx              go on              go on           go on            succeeded
    421, quotas      throttled          throttled       throttled        throttled
    "relay denied"   misconfigured      misconfigured   misconfigured    misconfigured
    other 4xx        unavailable        temporary       temporary        temporary
    500 to 504       misconfigured      temporary       temporary        temporary
    530 to 538       misconfigured      misconfigured   misconfigured    misconfigured
    5.1.1 and such   misconfigured      as below        bounced          bounced
    other 5xx        misconfigured      the sender's    permanent        permanent
    anything else    unavailable        temporary       temporary        uncertain

The sender's: misconfigured if it is the channel's, permanent if the payload chose it.
Only what is about the recipient bounces: 5.7.1 is policy or reputation, 5.2.2 a full mailbox.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import NamedTuple

from chimewayd.adapters.evidence import MESSAGE_ID_LIMIT_BYTES, clean
from chimewayd.models import (
    Bounced,
    Misconfigured,
    Outcome,
    Permanent,
    Succeeded,
    Temporary,
    Throttled,
    Unavailable,
    Uncertain,
)

LONGEST_RETRY_AFTER = timedelta(days=365)
"""Only a bound on nonsense: the channel's own cap is far below."""


class Phase(StrEnum):
    """How far a session has come, in the words of a detail."""

    WAIT = "the wait for a connection"
    CONNECT = "the connection"
    """Up to the greeting."""
    EHLO = "EHLO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    RSET = "RSET"
    MAIL = "MAIL FROM"
    RCPT = "RCPT TO"
    DATA = "DATA"
    CONTENT = "the mail itself"


class Reply(NamedTuple):
    """One answer of the relay."""

    code: int
    text: str
    """Its lines, without the codes in front."""


# Source: RFC 3463 section 3.2 and the registry of enhanced codes: no such mailbox, no such
# domain, bad syntax, moved away, a domain without mail, a mailbox that is disabled.
_ABOUT_THE_RECIPIENT = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"})
# Too fast; not now; congestion, which is also what large providers call a day's quota.
_TOO_MUCH = frozenset({"4.7.28", "4.3.2", "4.4.5", "5.4.5"})
_SYNTAX_OR_SEQUENCE = range(500, 505)
_CREDENTIALS = frozenset({530, 534, 535, 538})
_SERVICE_NOT_AVAILABLE = 421
_GO_AHEAD = 354

BEFORE_A_MAIL = frozenset(
    {Phase.WAIT, Phase.CONNECT, Phase.EHLO, Phase.STARTTLS, Phase.AUTH, Phase.RSET}
)
"""What happens here is about the relay and us, whoever the recipient is."""
_KIND_OF_NONSENSE: Mapping[Phase, type[Outcome]] = {
    Phase.MAIL: Temporary,
    Phase.RCPT: Temporary,
    Phase.DATA: Temporary,
    Phase.CONTENT: Uncertain,
}
_ABOUT_ONE_MAIL = frozenset({Phase.RCPT, Phase.DATA, Phase.CONTENT})
_ENHANCED = re.compile(r"(?:\A|\(#)([245])\.(\d{1,3})\.(\d{1,3})\b")
# For relays that give no enhanced code.
_NO_SUCH_USER = re.compile(
    r"\b(?:no such|unknown|invalid) (?:user|recipient|mailbox)\b"
    r"|\b(?:user|recipient|mailbox) (?:is )?(?:unknown|not found|does(?: not|n't) exist)\b",
    re.IGNORECASE,
)
_RELAY_DENIED = re.compile(
    r"\brelay(?:ing)?\b.{0,20}\b(?:denied|prohibited|not (?:permitted|allowed))"
    r"|\b(?:unable|not (?:permitted|allowed)|cannot) to relay\b|\bdo(?:es)? not relay\b",
    re.IGNORECASE,
)
_WAIT = re.compile(
    r"\b(?:in|for|after)\s+(\d{1,6})\s*"
    r"(?:(s)(?:ec(?:ond)?s?)?|(m)(?:in(?:ute)?s?)?|(h)(?:ours?)?)\b",
    re.IGNORECASE,
)
_UNITS = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1)}
_QUEUE_ID = re.compile(r"\bqueued (?:mail for delivery )?as[: ]+([\w.@<>-]+)|\bid=([\w.@<>-]+)")


def is_accepted(phase: Phase, code: int) -> bool:
    """Tell whether the conversation goes on after this answer."""
    if phase is Phase.DATA:
        return code == _GO_AHEAD
    return code // 100 == 2  # noqa: PLR2004 - "positive completion", RFC 5321 section 4.2.1


def enhanced_code(reply: Reply) -> str | None:
    """Return the enhanced status code, as in `5.1.1`, if there is one that fits the reply."""
    found = _ENHANCED.search(reply.text)
    if found is None or int(found[1]) != reply.code // 100:
        return None
    return ".".join(found.groups())


def judge(
    phase: Phase,
    reply: Reply,
    relay: str,
    secrets: Sequence[str] = (),
    *,
    has_channels_sender: bool = True,
) -> Outcome:
    """Return the outcome of the answer that ended a call."""
    response = clean(reply.text, secrets)
    if phase is Phase.CONTENT and is_accepted(phase, reply.code):
        return Succeeded(
            status_code=reply.code,
            response=response,
            provider_message_id=queue_id(reply, secrets),
        )
    kind = _kind(phase, reply, has_channels_sender=has_channels_sender)
    code = " ".join(filter(None, (str(reply.code), enhanced_code(reply))))
    detail = f"{relay} answered {code} to {phase}"
    status_code = max(reply.code, 0)
    if issubclass(kind, Temporary | Throttled):
        retry_after = wait_asked_for(reply.text)
        return kind(
            detail=detail, status_code=status_code, response=response, retry_after=retry_after
        )
    return kind(detail=detail, status_code=status_code, response=response)


def queue_id(reply: Reply, secrets: Sequence[str] = ()) -> str | None:
    """Return the relay's own name of the mail, where it says one in a known way."""
    found = _QUEUE_ID.search(reply.text)
    return clean(found[1] or found[2], secrets, MESSAGE_ID_LIMIT_BYTES) if found else None


def wait_asked_for(text: str) -> timedelta | None:
    """Return how long a greylisting or limiting relay says to wait, if it says it in figures."""
    found = _WAIT.search(text)
    if found is None:
        return None
    unit = found[2] or found[3] or found[4]
    return min(int(found[1]) * _UNITS[unit.lower()], LONGEST_RETRY_AFTER)


def _kind(phase: Phase, reply: Reply, *, has_channels_sender: bool) -> type[Outcome]:
    if reply.code == _SERVICE_NOT_AVAILABLE or enhanced_code(reply) in _TOO_MUCH:
        return Throttled
    if _RELAY_DENIED.search(_own_words(reply)):  # soft ones, too: Postfix answers 454 to strangers
        return Misconfigured
    match reply.code // 100:  # RFC 5321 section 4.2.1
        case 4:
            return Unavailable if phase in BEFORE_A_MAIL else Temporary
        case 5:
            return _kind_of_refusal(phase, reply, has_channels_sender=has_channels_sender)
        case _:
            return _KIND_OF_NONSENSE.get(phase, Unavailable)


def _kind_of_refusal(phase: Phase, reply: Reply, *, has_channels_sender: bool) -> type[Outcome]:
    """The first line that applies."""
    code, enhanced = reply.code, enhanced_code(reply)
    if phase in BEFORE_A_MAIL or code in _CREDENTIALS:
        return Misconfigured
    if phase in _ABOUT_ONE_MAIL and _is_about_the_recipient(reply, enhanced):
        return Bounced
    if code in _SYNTAX_OR_SEQUENCE:
        return Temporary
    if phase is Phase.MAIL and has_channels_sender and not _is_too_large(code, enhanced):
        return Misconfigured
    return Permanent


def _own_words(reply: Reply) -> str:
    """Leave addresses out: one may spell anything, and no recipient's may pause the channel."""
    return " ".join(word for word in reply.text.split() if "@" not in word)


def _is_about_the_recipient(reply: Reply, enhanced: str | None) -> bool:
    if enhanced is not None:
        return enhanced in _ABOUT_THE_RECIPIENT
    return bool(_NO_SUCH_USER.search(reply.text))


def _is_too_large(code: int, enhanced: str | None) -> bool:
    return code == 552 or enhanced == "5.3.4"  # noqa: PLR2004 - RFC 1870 section 6.1
