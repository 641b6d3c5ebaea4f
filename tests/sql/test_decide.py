"""decide: the one rule of what follows a call that did not succeed, line by line."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from engine import Connection

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WAIT = timedelta(seconds=30)
CALL: dict[str, Any] = {
    "rule": "retry",
    "failures": 1,
    "max_attempts": 5,
    "wait": WAIT,
    "last_retry_at": None,
    "on_uncertain": "retry",
    "requested_status": None,
    "requested_reason": None,
}
REQUESTED = {"requested_status": "suppressed", "requested_reason": "unsubscribed"}
LAST = {"failures": 5}
TOO_OLD = {"last_retry_at": NOW + WAIT - timedelta(microseconds=1)}
RETRY = ("failed", None, NOW + WAIT)
EXHAUSTED = ("cancelled", "retries_exhausted", None)
PERMANENT = ("cancelled", "permanent_failure", None)
BOUNCED = ("cancelled", "bounced", None)
UNKNOWN = ("cancelled", "outcome_unknown", None)
AS_REQUESTED = ("suppressed", "unsubscribed", None)
DOUBT_HELD = {"rule": "doubt", "on_uncertain": "hold"}


@pytest.mark.parametrize(
    ("call", "decision"),
    [
        ({}, RETRY),
        ({"failures": 4}, RETRY),
        (LAST, EXHAUSTED),
        ({"failures": 6}, EXHAUSTED),
        (TOO_OLD, EXHAUSTED),
        ({"last_retry_at": NOW + WAIT}, RETRY),
        ({"on_uncertain": "hold"}, RETRY),
        ({"rule": "doubt"}, RETRY),
        ({"rule": "doubt", **LAST}, EXHAUSTED),
        (DOUBT_HELD, UNKNOWN),
        (DOUBT_HELD | LAST | TOO_OLD, UNKNOWN),
        (DOUBT_HELD | REQUESTED, UNKNOWN),
        ({"rule": "permanent_failure"}, PERMANENT),
        ({"rule": "permanent_failure", **LAST, **REQUESTED}, PERMANENT),
        ({"rule": "bounced"}, BOUNCED),
        ({"rule": "bounced", **LAST, **REQUESTED}, BOUNCED),
        (REQUESTED, AS_REQUESTED),
        (REQUESTED | LAST | TOO_OLD, AS_REQUESTED),
    ],
)
async def test_first_line_that_applies_decides(
    connection: Connection, call: dict[str, Any], decision: tuple[object, ...]
) -> None:
    row = await connection.fetchrow(
        "select * from chimeway.decide($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        *(CALL | call).values(),
        NOW,
    )

    assert row is not None
    assert tuple(row) == decision
