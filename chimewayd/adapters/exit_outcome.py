"""Say what a command's exit status means for the delivery.

Source: sysexits.h (4.3BSD), and the shell's 126 (not executable) and 127 (not found).
"""

import math
import os
import signal
from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import NamedTuple, assert_never

import orjson

from chimewayd.adapters.evidence import DETAIL_LIMIT_BYTES, MESSAGE_ID_LIMIT_BYTES, clean
from chimewayd.models import (
    Bounced,
    Misconfigured,
    Outcome,
    Permanent,
    Succeeded,
    Temporary,
    Unavailable,
)

LONGEST_RETRY_AFTER = timedelta(days=365)
"""Only a bound on nonsense: the channel's own cap is far below."""


class Meaning(StrEnum):
    """What an exit status can mean."""

    SUCCEEDED = "succeeded"
    TEMPORARY = "temporary"
    PERMANENT = "permanent"
    BOUNCED = "bounced"
    MISCONFIGURED = "misconfigured"
    UNAVAILABLE = "unavailable"


MEANINGS: Mapping[int, Meaning] = {
    os.EX_OK: Meaning.SUCCEEDED,
    os.EX_USAGE: Meaning.PERMANENT,
    os.EX_DATAERR: Meaning.PERMANENT,
    os.EX_NOINPUT: Meaning.PERMANENT,
    os.EX_NOUSER: Meaning.BOUNCED,
    os.EX_NOHOST: Meaning.BOUNCED,
    os.EX_UNAVAILABLE: Meaning.UNAVAILABLE,
    os.EX_SOFTWARE: Meaning.TEMPORARY,
    os.EX_OSERR: Meaning.TEMPORARY,
    os.EX_OSFILE: Meaning.TEMPORARY,
    os.EX_CANTCREAT: Meaning.TEMPORARY,
    os.EX_IOERR: Meaning.TEMPORARY,
    os.EX_TEMPFAIL: Meaning.TEMPORARY,
    os.EX_PROTOCOL: Meaning.TEMPORARY,
    os.EX_NOPERM: Meaning.MISCONFIGURED,
    os.EX_CONFIG: Meaning.MISCONFIGURED,
    126: Meaning.MISCONFIGURED,
    127: Meaning.MISCONFIGURED,
}


_REFUSALS: Mapping[Meaning, type[Outcome]] = {
    Meaning.PERMANENT: Permanent,
    Meaning.BOUNCED: Bounced,
    Meaning.MISCONFIGURED: Misconfigured,
    Meaning.UNAVAILABLE: Unavailable,
}


class Answer(NamedTuple):
    """What the last line of the standard output said, as far as it said it well."""

    provider_message_id: str | None = None
    retry_after: timedelta | None = None
    detail: str | None = None


def judge(status: int, output: bytes, response: str | None, secrets: Sequence[str] = ()) -> Outcome:
    """Return the outcome of a run; a negative status is the signal that killed it."""
    answer = read_answer(output, secrets)
    if status < 0:
        return Temporary(
            detail=answer.detail or f"the command was killed by {_signal_name(-status)}",
            # As shells report it: the column holds exit statuses, which are not negative.
            status_code=128 - status,
            response=response,
            retry_after=answer.retry_after,
        )
    detail = answer.detail or _described(status)
    meaning = MEANINGS.get(status, Meaning.TEMPORARY)
    match meaning:
        case Meaning.SUCCEEDED:
            return Succeeded(
                detail=answer.detail,
                status_code=status,
                response=response,
                provider_message_id=answer.provider_message_id,
            )
        case Meaning.TEMPORARY:
            return Temporary(
                detail=detail,
                status_code=status,
                response=response,
                retry_after=answer.retry_after,
            )
        case Meaning.PERMANENT | Meaning.BOUNCED | Meaning.MISCONFIGURED | Meaning.UNAVAILABLE:
            return _REFUSALS[meaning](detail=detail, status_code=status, response=response)
        case _:
            assert_never(meaning)


def read_answer(output: bytes, secrets: Sequence[str] = ()) -> Answer:
    """Read the answer in the last line that is not blank; anything else is ignored."""
    last_line = output.rstrip().rpartition(b"\n")[2]
    try:
        said = orjson.loads(last_line)
    except orjson.JSONDecodeError:
        return Answer()
    if not isinstance(said, dict):
        return Answer()
    return Answer(
        _text(said.get("provider_message_id"), secrets, MESSAGE_ID_LIMIT_BYTES),
        _seconds(said.get("retry_after")),
        _text(said.get("detail"), secrets, DETAIL_LIMIT_BYTES),
    )


def _text(value: object, secrets: Sequence[str], limit_bytes: int) -> str | None:
    return clean(value, secrets, limit_bytes) if isinstance(value, str) else None


def _seconds(value: object) -> timedelta | None:
    # True is an int in Python, and no number of seconds.
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not math.isfinite(value) or value < 0:
        return None
    return timedelta(seconds=min(value, LONGEST_RETRY_AFTER.total_seconds()))


def _described(status: int) -> str:
    known = "" if status in MEANINGS else ", which sysexits.h does not list"
    return f"the command ended with exit status {status}{known}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
