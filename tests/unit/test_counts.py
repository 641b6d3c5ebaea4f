"""What the stages count: batches, by channel and outcome."""

import pytest
from deliveries import delivery

from chimewayd.counts import Counts, Histogram, ending
from chimewayd.models import Outcome, Permanent, Report, Succeeded, Temporary, Verdict


def call(outcome: Outcome, channel: str = "hooks", seconds: float = 0.2) -> Report:
    return Report(delivery(channel=channel), outcome, started=10.0, finished=10.0 + seconds)


def verdict(status: str | None, reason: str | None = None, verdict: str = "applied") -> Verdict:
    return Verdict(verdict, status, reason)


def test_histogram_counts_each_value_in_the_first_bucket_that_holds_it() -> None:
    one_by_one, at_once = Histogram((1.0, 2.0)), Histogram((1.0, 2.0))
    values = [0.0, 1.0, 1.5, 2.0, 2.5, 9.0]

    for value in values:
        one_by_one.add(value)
    at_once.add_all(list(reversed(values)))

    assert one_by_one.counts == at_once.counts == [2, 2, 2]
    assert one_by_one.sum == at_once.sum == 16.0


def test_calls_are_counted_by_channel_and_outcome() -> None:
    counts = Counts()
    reports = [
        call(Succeeded()),
        call(Succeeded()),
        call(Temporary()),
        call(Succeeded(), channel="mail", seconds=3.0),
    ]
    statuses = ["succeeded", "succeeded", "failed", "succeeded"]

    verdicts = [verdict(status) for r, status in zip(reports, statuses, strict=True)]
    counts.recorded(reports, verdicts, 0.002)

    assert counts.attempts == {
        ("hooks", Succeeded): 2,
        ("hooks", Temporary): 1,
        ("mail", Succeeded): 1,
    }
    assert counts.ended == {("hooks", "succeeded"): 2, ("mail", "succeeded"): 1}
    assert {name: sum(spread.counts) for name, spread in counts.call_seconds.items()} == {
        "hooks": 3,
        "mail": 1,
    }
    assert counts.call_seconds["mail"].sum == pytest.approx(3.0)
    assert sum(counts.record_seconds.counts) == 1


@pytest.mark.parametrize("late", ["stale", "gone"])
def test_late_outcome_is_an_attempt_and_ends_nothing(late: str) -> None:
    counts = Counts()
    report = call(Permanent())

    counts.recorded([report], [verdict("cancelled", "expired", late)], 0.001)

    assert counts.attempts == {("hooks", Permanent): 1}
    assert counts.late == {"hooks": 1}
    assert counts.ended == {}


def test_pickup_is_counted_for_first_calls_by_channel() -> None:
    counts = Counts()
    first = delivery(channel="hooks", waited_seconds=0.2)
    retry = delivery(channel="hooks", attempt_number=2, waited_seconds=40.0)
    replayed = delivery(channel="mail", attempt_number=6, attempts_before=5, waited_seconds=3.0)

    counts.claimed([first, retry, replayed], 0.001)

    assert {name: spread.sum for name, spread in counts.pickup_seconds.items()} == {
        "hooks": 0.2,
        "mail": 3.0,
    }
    assert sum(counts.claim_sizes.counts) == 1


def test_delivery_is_counted_from_due_to_recorded_if_it_succeeded() -> None:
    counts = Counts()
    waits = {"succeeded": 3.0, "failed": 5.0, "cancelled": 7.0}
    reports = [
        call(Succeeded())._replace(delivery=delivery(claim_id=4, waited_seconds=seconds))
        for seconds in waits.values()
    ]
    verdicts = [verdict(status) for r, status in zip(reports, waits, strict=True)]

    counts.delivered(reports, verdicts, {4: 100.0}, 102.0)

    assert counts.delivery_seconds["hooks"].sum == pytest.approx(5.0)
    assert sum(counts.delivery_seconds["hooks"].counts) == 1


@pytest.mark.parametrize("late", ["stale", "gone"])
def test_late_success_is_no_delivery(late: str) -> None:
    counts = Counts()
    report = call(Succeeded())

    counts.delivered([report], [verdict("succeeded", None, late)], {}, 102.0)

    assert counts.delivery_seconds == {}


@pytest.mark.parametrize(
    ("status", "reason", "how"),
    [
        ("succeeded", None, "succeeded"),
        ("failed", None, None),
        ("pending", None, None),
        (None, None, None),
        ("cancelled", "retries_exhausted", "retries_exhausted"),
        ("cancelled", "bounced", "bounced"),
        ("cancelled", "Ada wanted it so, call 555-1234", "asked_for"),
        ("suppressed", "opted out", "asked_for"),
    ],
)
def test_end_has_a_name_of_a_closed_list(
    status: str | None, reason: str | None, how: str | None
) -> None:
    assert ending(status, reason) == how
