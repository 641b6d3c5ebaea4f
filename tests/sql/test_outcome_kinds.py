"""record: what each kind of outcome makes of the attempt and of the delivery."""

import pytest
from engine import Connection, attempts_of, claim_one, configure, jobs_of, look, record

pytestmark = pytest.mark.anyio

SUCCEEDED = "succeeded"
FAILED = "failed"
EXHAUSTED = "cancelled: retries_exhausted"
PERMANENT = "cancelled: permanent_failure"
BOUNCED = "cancelled: bounced"
UNKNOWN = "cancelled: outcome_unknown"

# kind: attempt, then the end with attempts left and on the last one, on_uncertain retry and hold.
ENDS = {
    "succeeded": ("succeeded", None, SUCCEEDED, SUCCEEDED, SUCCEEDED, SUCCEEDED),
    "temporary": ("failed", "temporary", FAILED, EXHAUSTED, FAILED, EXHAUSTED),
    "throttled": ("failed", "temporary", FAILED, EXHAUSTED, FAILED, EXHAUSTED),
    "permanent": ("rejected", "permanent", PERMANENT, PERMANENT, PERMANENT, PERMANENT),
    "bounced": ("bounced", "bounced", BOUNCED, BOUNCED, BOUNCED, BOUNCED),
    "unsubscribed": ("rejected", "permanent", PERMANENT, PERMANENT, PERMANENT, PERMANENT),
    "uncertain": ("failed", "uncertain", FAILED, EXHAUSTED, UNKNOWN, UNKNOWN),
    "timeout": ("failed", "timeout", FAILED, EXHAUSTED, FAILED, EXHAUSTED),
    "timeout_after_send": ("failed", "timeout", FAILED, EXHAUSTED, UNKNOWN, UNKNOWN),
    "unclassified": ("rejected", "unknown_classification", FAILED, EXHAUSTED, FAILED, EXHAUSTED),
    "lost": ("lost", "uncertain", FAILED, EXHAUSTED, UNKNOWN, UNKNOWN),
}

CASES = [
    (kind, max_attempts, on_uncertain, outcome, error_class, end)
    for kind, (outcome, error_class, *ends) in ENDS.items()
    for (on_uncertain, max_attempts), end in zip(
        [("retry", 2), ("retry", 1), ("hold", 2), ("hold", 1)], ends, strict=True
    )
]


async def test_the_table_above_knows_every_kind(connection: Connection) -> None:
    rows = await connection.fetch("select kind, outcome, error_class from chimeway.outcome_kinds()")

    assert [tuple(row) for row in rows] == [(kind, *ends[:2]) for kind, ends in ENDS.items()]


@pytest.mark.parametrize(
    ("kind", "max_attempts", "on_uncertain", "outcome", "error_class", "end"), CASES
)
async def test_call_that_ended_so_makes_this_of_its_delivery(
    connection: Connection,
    kind: str,
    max_attempts: int,
    on_uncertain: str,
    outcome: str,
    error_class: str | None,
    end: str,
) -> None:
    await configure(connection, on_uncertain=on_uncertain, max_attempts=max_attempts)
    delivery = await claim_one(connection)

    verdict = await record(connection, delivery, kind)

    row = await look(connection, delivery.delivery_id)
    (attempt,) = await attempts_of(connection, delivery.delivery_id)
    status, _, reason = end.partition(": ")
    assert (row["status"], row["suppression_reason"]) == (status, reason or None)
    assert (attempt["outcome"], attempt["error_class"]) == (outcome, error_class)
    assert verdict[:3] == ("applied", status, reason or None)
    assert (row["finished_at"] is None) == (status == "failed")
    assert len(await jobs_of(connection, delivery.delivery_id)) == (status == "failed")
