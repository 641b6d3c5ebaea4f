"""Mistakes that the state machine must find: replacements in the text of one SQL file."""

from pathlib import Path
from typing import NamedTuple

FUNCTIONS = Path(__file__).parents[1] / "sql" / "functions"


class Mutant(NamedTuple):
    """A mistake: in which file, which text, and what stands there instead."""

    file: str
    right: str
    wrong: str
    also: tuple[str, str] | None = None
    """A second text and its replacement, where two guards keep the same rule."""

    def sql(self) -> str:
        """Return the file with the mistake in it; its place must be clear."""
        text = (FUNCTIONS / f"{self.file}.sql").read_text("utf-8")
        for right, wrong in [(self.right, self.wrong), *([self.also] if self.also else [])]:
            assert text.count(right) == 1, f"{self.file}.sql has changed: {right}"
            text = text.replace(right, wrong)
        return text


MUTANTS = {
    "record ignores the token": Mutant(
        "settle",
        "where r.rule = 'succeed'\n      and d.id = r.delivery_id and d.claim_id = r.claim_id "
        "and d.status = 'dispatched'",
        "where r.rule = 'succeed' and d.id = r.delivery_id and d.status = 'dispatched'",
    ),
    "record and rescue ignore the status": Mutant(
        "settle",
        "and d.claim_id = r.claim_id and d.status = 'dispatched'\n    where r.rule <> 'succeed'",
        "where r.rule <> 'succeed'",
        also=(
            " and d.claim_id = r.claim_id\n    returning r.delivery_id",
            "\n    returning r.delivery_id",
        ),
    ),
    "rescue ignores the lease": Mutant(
        "rescue",
        "where k.expires_at <= v_now or",
        "where k.expires_at > v_now - interval '1 year' or",
    ),
    "rescue forgets that clocks are set back": Mutant(
        "rescue", "or k.expires_at > v_now + interval '2 hours'", ""
    ),
    "release_unsent ignores the status": Mutant(
        "release_unsent", " and d.claim_id = r.claim_id and d.status = 'dispatched'", ""
    ),
    "release_unsent keeps the attempt": Mutant(
        "release_unsent", "attempt_count = d.attempt_count - 1,", ""
    ),
    "release_unsent calls a failed one pending": Mutant(
        "release_unsent", "when d.attempt_count - 1 = d.attempts_before then", "when true then"
    ),
    "claim ignores terminal": Mutant("claim", " and d.status in ('pending', 'failed')", ""),
    "claim takes what is not due": Mutant(
        "claim", "and j.due_at <= v_now", "and j.due_at <= v_now + interval '1 second'"
    ),
    "claim ignores the order of due times": Mutant(
        "claim", "order by j.due_at, j.position", "order by j.position"
    ),
    "claim takes from paused channels": Mutant("claim", " and c.paused_at is null", ""),
    "numbers leave out lost attempts": Mutant(
        "settle",
        "select s.delivery_id, s.attempt_count, s.series, s.claim_id, s.started_at",
        "select s.delivery_id, (select count(*) + 1 from chimeway.delivery_attempts as a "
        "where a.delivery_id = s.delivery_id and a.outcome <> 'lost'), "
        "s.series, s.claim_id, s.started_at",
    ),
    "cancel leaves the job": Mutant("take_job", "where d.id = p_delivery_id", "where false"),
    "cancel leaves the job of a held delivery": Mutant(
        "take_job", "array['-infinity', 'infinity', ", "array['-infinity', "
    ),
    "cancel during a call does not prevent the retry": Mutant(
        "decide", "(p_requested_status is not null, ", "(false, "
    ),
    "one attempt too many": Mutant(
        "decide", "(p_failures >= p_max_attempts, ", "(p_failures > p_max_attempts, "
    ),
    "max_age does not count": Mutant("decide", "(p_now + p_wait > p_last_retry_at, ", "(false, "),
    "retry_after has no cap": Mutant(
        "settle", "least((l.report).retry_after, c.retry_after_cap)", "(l.report).retry_after"
    ),
    "the wait begins with the record": Mutant(
        "settle", "(l.report).finished_at) as n", "v_now) as n"
    ),
    "replay keeps attempts_before": Mutant("replay", "attempts_before = d.attempt_count,", ""),
    "replay keeps what has expired": Mutant(
        "replay", "expires_at = case when d.expires_at > v_now then d.expires_at end,", ""
    ),
    "replay does not correct the tally": Mutant(
        "replay", "v_old.channel, v_old.status, -1", "v_old.channel, v_old.status, 0"
    ),
    "replay sends a success again unforced": Mutant(
        "replay", "v_old.status = 'succeeded' and not replay.force", "false"
    ),
    "settle keeps the claim": Mutant("settle", "and k.open_count <= n.count", "and false"),
    "settle closes the claim too early": Mutant(
        "settle", "and k.open_count <= n.count", "and k.open_count <= n.count + 1"
    ),
    "late outcomes are told twice": Mutant(
        "record_late", "e.event = 'late_outcome'\n", "e.event = 'late'\n"
    ),
    "heartbeat extends a stranger's lease": Mutant(
        "heartbeat", " and k.daemon_id = p_daemon_id", ""
    ),
    "hold misses what is scheduled": Mutant(
        "hold", "coalesce(d.next_attempt_at, d.scheduled_at)", "d.next_attempt_at"
    ),
    "release forgets the backoff": Mutant(
        "release", "coalesce(d.next_attempt_at, d.scheduled_at)", "d.scheduled_at"
    ),
    "expire ends nothing that is held": Mutant(
        "expire",
        "and d.status in ('pending', 'failed')",
        "and d.status in ('pending', 'failed') and not exists (select from chimeway.jobs as j "
        "where j.delivery_id = d.id and j.due_at = 'infinity')",
    ),
    "a terminal delivery has no next line": Mutant(
        "explain_next",
        "if p_delivery.finished_at is not null then\n    return query",
        "if p_delivery.finished_at is not null then\n    return;\n    return query",
    ),
}

FLOW_MUTANTS = {
    "a claim takes more than its rate has free": Mutant(
        "grant_slots",
        "when r.channel = any (v_rated) then chimeway.free_calls(r, v_now)",
        "when r.channel = any (v_rated) then w.slots",
    ),
    "a batch pays for one call": Mutant("spend_slots", "+ c.calls * r.gap", "+ r.gap"),
    "a rate forgets what was called before": Mutant(
        "owed_time", "else least(p_rate.paid_until - p_now, p_rate.burst * p_rate.gap) end", "end"
    ),
    "a breaker lets a second probe through": Mutant(
        "is_probing", "d.claim_id = p_breaker.probe_claim_id)", "false)"
    ),
    "an open breaker is never tried": Mutant(
        "calls_wait_until",
        "case when chimeway.is_probing(b) then 'infinity' else b.retry_at end",
        "'infinity'::timestamptz",
    ),
    "a breaker does not follow the clock": Mutant(
        "follow_clock", "where b.retry_at > p_now;", "where false;"
    ),
    "what was replayed does not follow the clock": Mutant("follow_clock", " or d.series > 1", ""),
    "a chain of fallbacks turns round": Mutant(
        "fall_back", "as c where c.channel = f.channel)", "as c where false)"
    ),
    "what is lost for good falls back nowhere": Mutant(
        "fall_back",
        "in ('permanent_failure', 'bounced', 'retries_exhausted')",
        "in ('permanent_failure', 'bounced')",
    ),
    "retention takes what has not ended": Mutant(
        "remove", "d.id = any (p_delivery_ids) and d.finished_at is not null", "true"
    ),
}
"""Mistakes that the machine of flow control must find."""
