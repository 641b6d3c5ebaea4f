"""Writes down how calls ended: the last stage.

    reports ─▶ one batch ─▶ chimeway.record ─▶ one line a call ─▶ slots free again
    unsent  ─▶ one batch ─▶ chimeway.release_unsent ─────────────▶ slots free again

A batch is whatever came while the last one was under way. It is asked again until the database
answers: an answer that was not heard is recognised there (`already_applied`), and one whose
lease is gone comes back as `stale`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import anyio
import structlog

from chimewayd import db
from chimewayd.attempt_line import Line, attempt_line
from chimewayd.errors import DatabaseUnavailable
from chimewayd.leases import Leases
from chimewayd.listen import Bell
from chimewayd.log import Event, emit_many
from chimewayd.models import (
    Delivery,
    Misconfigured,
    Report,
    Succeeded,
    Temporary,
    Throttled,
    Verdict,
)
from chimewayd.outage import Outage
from chimewayd.outbox import Outbox
from chimewayd.session import Session
from chimewayd.slots import Slots

BATCH_LIMIT = 500

log = structlog.get_logger()


async def record(
    session: Session,
    me: db.Identity,
    reports: Outbox[Report],
    slots: Slots,
    leases: Leases,
    outage: Outage,
    max_attempts: Mapping[str, int],
    bell: Bell,
) -> None:
    """Record until `reports` closes; `max_attempts` of each channel is for the log."""
    while batch := await reports.take(BATCH_LIMIT):
        faults = [report for report in batch if isinstance(report.outcome, Misconfigured)]
        calls = [report for report in batch if not isinstance(report.outcome, Misconfigured)]
        if calls:
            verdicts = await outage.outlast(lambda: _record(session, me, calls))  # noqa: B023 - awaited here
            emit_many(_lines(calls, verdicts, max_attempts))
            if any(verdict.next_attempt_at for verdict in verdicts):
                # Whoever sleeps until the next due time must hear of a nearer one.
                bell.ring()
        if faults:
            await outage.outlast(lambda: _pause(session, me, faults))  # noqa: B023 - awaited here
        done = [report.delivery for report in batch]
        leases.leave(done)
        slots.free(done)


def _lines(
    reports: Sequence[Report], verdicts: Sequence[Verdict], max_attempts: Mapping[str, int]
) -> Iterator[Line]:
    # A delivery may come twice: late from a claim that was lost, and from the one after it.
    by_claim = {(r.delivery.delivery_id, r.delivery.claim_id): r for r in reports}
    for verdict in verdicts:
        report = by_claim[verdict.delivery_id, verdict.claim_id]
        yield attempt_line(report, verdict, max_attempts[report.delivery.channel])


async def release(
    session: Session,
    me: db.Identity,
    unsent: Outbox[Delivery],
    slots: Slots,
    leases: Leases,
    outage: Outage,
) -> None:
    """Give back what was not sent, until `unsent` closes."""
    while batch := await unsent.take(BATCH_LIMIT):
        reason = "claimed, but not called in time"
        await outage.outlast(lambda: db.release_unsent(session, me, batch, reason))  # noqa: B023 - awaited here
        leases.leave(batch)
        slots.free(batch)
        log.info(Event.DELIVERY_RELEASED, deliveries=len(batch), reason=reason)


async def _record(session: Session, me: db.Identity, reports: Sequence[Report]) -> list[Verdict]:
    try:
        return await db.record(session, me, reports, anyio.current_time())
    except DatabaseUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the outcomes must not be lost
        return await _record_apart(session, me, reports, error)


async def _pause(session: Session, me: db.Identity, faults: Sequence[Report]) -> None:
    """Pause the channel loudly and give the deliveries back: our own fault is no attempt."""
    for channel in {report.delivery.channel for report in faults}:
        details = [r.outcome.detail for r in faults if r.delivery.channel == channel]
        reason = details[0] or "the channel is misconfigured"
        await db.pause_channel(session, channel, reason, f"daemon {me.name}")
        log.error(Event.CHANNEL_PAUSED, channel=channel, reason=reason)
    deliveries = [report.delivery for report in faults]
    await db.release_unsent(session, me, deliveries, "the channel was paused: our own fault")


def _bare(report: Report) -> Report:
    """Leave out the evidence: it is the part of a report that a database can refuse."""
    outcome = replace(
        report.outcome,
        detail="the evidence could not be stored",
        status_code=None,
        response=None,
    )
    if isinstance(outcome, Succeeded):
        outcome = replace(outcome, provider_message_id=None)
    if isinstance(outcome, Temporary | Throttled):
        outcome = replace(outcome, retry_after=None)
    return report._replace(outcome=outcome)


async def _record_apart(
    session: Session, me: db.Identity, reports: Sequence[Report], error: Exception
) -> list[Verdict]:
    """One report that the database refuses must not keep the others from being recorded."""
    log.error(Event.RECORD_FAILED, reports=len(reports), exc_info=error)
    if len(reports) == 1:
        return await db.record(session, me, [_bare(reports[0])], anyio.current_time())
    verdicts: list[Verdict] = []
    for report in reports:
        verdicts += await _record(session, me, [report])
    return verdicts
