"""Writes down how calls ended: the last stage.

    reports ─▶ one batch ─▶ chimeway.record ─▶ one line a call ─▶ slots free again
    unsent  ─▶ one batch ─▶ chimeway.release_unsent ─────────────▶ slots free again
    our own faults ─▶ the channel is paused, or its breaker opens ─▶ unsent

    locked  ─▶ again and again, beside the others ─▶ the same

A batch is whatever came while the last one was under way. It is asked again until the database
answers: an answer that was not heard is recognised there (`already_applied`), and one whose
lease is gone comes back as `stale`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import anyio
import structlog

from chimewayd import db, failpoints
from chimewayd.adapters.evidence import DETAIL_LIMIT_BYTES, clean
from chimewayd.attempt_line import attempt_lines
from chimewayd.breakers import Breakers
from chimewayd.counts import Counts
from chimewayd.errors import DatabaseUnavailable, Locked, UnexpectedAnswer
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
    Unavailable,
    Unsent,
    Verdict,
)
from chimewayd.outage import Outage
from chimewayd.outbox import Outbox
from chimewayd.session import Session
from chimewayd.slots import Slots
from chimewayd.tracing import Trace

BATCH_LIMIT = 500
OUR_FAULTS = (Misconfigured, Unavailable)
"""No fault of the delivery's: it uses no attempt, and its channel stops."""

LOCKED_RETRY_SECONDS = 0.5
SHOWN = 10
"""Deliveries that one line names."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Desk:
    """What recording works with: the database, what is in hand, and whom to tell."""

    session: Session
    me: db.Identity
    slots: Slots
    leases: Leases
    outage: Outage
    max_attempts: Mapping[str, int]
    """Of each channel, for the log."""
    bell: Bell
    breakers: Breakers
    counts: Counts = field(default_factory=Counts)
    trace: Trace | None = None
    """Makes the spans of a batch, where somebody wants them."""

    beside: Session | None = None
    """What may wait for a lock is asked here, so that no record waits behind it; None: `session`"""

    @property
    def patient(self) -> Session:
        return self.beside or self.session

    def free(self, done: Sequence[Delivery]) -> None:
        """These are recorded, or given back."""
        self.leases.leave(done)
        self.slots.free(done)


async def record(desk: Desk, reports: Outbox[Report]) -> None:
    """Record until `reports` closes."""
    await _record_all(desk, partial(reports.take, BATCH_LIMIT))


async def record_beside(desk: Desk, reports: Outbox[Report]) -> None:
    """Record the whole batches that `record` leaves waiting: commits and work overlap."""
    await _record_all(desk, partial(reports.take_beside, BATCH_LIMIT))


async def _record_all(desk: Desk, take: Callable[[], Awaitable[list[Report]]]) -> None:
    locked, faults = Outbox[Report](), Outbox[Report]()
    async with anyio.create_task_group() as stragglers:
        stragglers.start_soon(_record_locked, desk, locked)
        stragglers.start_soon(_heed_faults, desk, faults)
        while batch := await take():
            ours = [report for report in batch if isinstance(report.outcome, OUR_FAULTS)]
            calls = batch
            if ours:
                faults.put_all(ours)
                calls = [r for r in batch if not isinstance(r.outcome, OUR_FAULTS)]
            if calls:
                locked.put_all(await _settle(desk, calls, partial(_record, desk)))
        locked.close()
        faults.close()


async def _record_locked(desk: Desk, locked: Outbox[Report]) -> None:
    """Record what somebody else held locked, as soon as they let go: nobody else waits for it."""
    while batch := await locked.take(BATCH_LIMIT):
        _say_locked(Event.RECORD_LOCKED, batch)
        while batch := await _settle(desk, batch, partial(_record_unlocked, desk)):
            await anyio.sleep(LOCKED_RETRY_SECONDS)
            # What was locked since is another transaction's, and may be let go earlier.
            if later := locked.take_now(BATCH_LIMIT - len(batch)):
                _say_locked(Event.RECORD_LOCKED, later)
                batch += later


def _say_locked(event: Event, batch: Sequence[Report | Unsent]) -> None:
    log.warning(event, deliveries=[str(one.delivery.delivery_id) for one in batch[:SHOWN]])


async def _heed_faults(desk: Desk, faults: Outbox[Report]) -> None:
    """Stop channels and give their deliveries back, beside the records: either may be locked."""
    unsent = Outbox[Unsent]()
    async with anyio.create_task_group() as stragglers:
        stragglers.start_soon(release, desk, unsent)
        while batch := await faults.take(BATCH_LIMIT):
            unsent.put_all(await desk.outage.outlast(partial(_stop_channels, desk, batch)))
        unsent.close()


async def _settle(
    desk: Desk,
    reports: Sequence[Report],
    ask: Callable[[Sequence[Report]], Awaitable[list[Verdict | None]]],
) -> list[Report]:
    """Record, log and free these calls; return those that somebody holds locked."""
    if failpoints.armed:
        await failpoints.reach(failpoints.Point.BEFORE_RECORD)
    asked_at = anyio.current_time()
    answer = await desk.outage.outlast(partial(ask, reports))
    if failpoints.armed:
        await failpoints.reach(failpoints.Point.AFTER_RECORD)
    settled, verdicts, locked = _sorted_out(reports, answer)
    now = anyio.current_time()
    desk.counts.recorded(settled, verdicts, now - asked_at)
    desk.counts.delivered(settled, verdicts, desk.leases.claimed_at, now)
    if desk.trace is not None:
        desk.trace(settled, verdicts)
    for (level, event), lines in attempt_lines(settled, verdicts, desk.max_attempts).items():
        emit_many(level, event, lines)
    if any(verdict.next_attempt_at for verdict in verdicts):
        # Whoever sleeps until the next due time must hear of a nearer one.
        desk.bell.ring()
    desk.free([report.delivery for report in settled])
    if desk.breakers.may_have_closed(settled):
        await desk.outage.outlast(partial(desk.breakers.look, desk.session, desk.me))
    for channel, reason in desk.breakers.judge(settled, anyio.current_time()).items():
        stop = partial(desk.breakers.open, desk.session, desk.me, channel, reason, [])
        await desk.outage.outlast(stop)
    return locked


def _sorted_out(
    reports: Sequence[Report], answer: Sequence[Verdict | None]
) -> tuple[Sequence[Report], list[Verdict], list[Report]]:
    """Return the reports that have a verdict, these verdicts, and the reports without one."""
    verdicts = [verdict for verdict in answer if verdict is not None]
    if len(verdicts) == len(reports):
        return reports, verdicts, []
    both = list(zip(reports, answer, strict=True))
    return [r for r, v in both if v is not None], verdicts, [r for r, v in both if v is None]


async def release(desk: Desk, unsent: Outbox[Unsent]) -> None:
    """Give back what was not sent, until `unsent` closes."""
    async with anyio.create_task_group() as stragglers:
        while batch := await unsent.take(BATCH_LIMIT):
            if locked := await _give_back(desk, batch):
                stragglers.start_soon(_give_back_apart, desk, locked)


async def _give_back_apart(desk: Desk, batch: list[Unsent]) -> None:
    """Give these back one by one; those that somebody holds locked as soon as they let go."""
    _say_locked(Event.RELEASE_LOCKED, batch)
    while batch:
        batch = [locked for unsent in batch for locked in await _give_back(desk, [unsent])]
        if batch:
            await anyio.sleep(LOCKED_RETRY_SECONDS)


async def _give_back(desk: Desk, batch: Sequence[Unsent]) -> list[Unsent]:
    """Give these back and free them; return those among which somebody holds some locked."""
    if failpoints.armed:
        await failpoints.reach(failpoints.Point.BEFORE_RELEASE)
    done: list[Unsent] = []
    locked: list[Unsent] = []
    for reason in {unsent.reason for unsent in batch}:
        alike = [unsent for unsent in batch if unsent.reason == reason]
        is_done = await desk.outage.outlast(partial(_release, desk, alike, reason))
        (done if is_done else locked).extend(alike)
    if failpoints.armed:
        await failpoints.reach(failpoints.Point.AFTER_RELEASE)
    desk.free([unsent.delivery for unsent in done])
    deferred = [unsent.delivery.channel for unsent in done if unsent.wait is not None]
    desk.counts.deferred.update(deferred)
    if deferred:
        # Whoever sleeps until the next due time must hear of a nearer one.
        desk.bell.ring()
    return locked


async def _release(desk: Desk, unsent: Sequence[Unsent], reason: str) -> bool:
    """Return whether they are given back: none of them is, if somebody holds one locked."""
    deliveries, waits = [u.delivery for u in unsent], [u.wait for u in unsent]
    try:
        await db.release_unsent(desk.patient, desk.me, deliveries, reason, waits)
    except Locked:
        return False
    is_deferral = any(wait is not None for wait in waits)
    event = Event.DELIVERY_DEFERRED if is_deferral else Event.DELIVERY_RELEASED
    log.info(event, deliveries=len(deliveries), reason=reason)
    return True


async def _record(desk: Desk, reports: Sequence[Report]) -> list[Verdict | None]:
    try:
        return await db.record(desk.session, desk.me, reports, anyio.current_time())
    except Locked:
        return await _record_unlocked(desk, reports)
    except (DatabaseUnavailable, UnexpectedAnswer):
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the outcomes must not be lost
        return await _record_apart(desk, reports, error)


async def _record_unlocked(desk: Desk, reports: Sequence[Report]) -> list[Verdict | None]:
    now = anyio.current_time()
    return await db.record(desk.session, desk.me, reports, now, passes_over_locked=True)


async def _stop_channels(desk: Desk, faults: Sequence[Report]) -> list[Unsent]:
    """Stop the channels loudly; return the deliveries: our own fault is no attempt."""
    unsent: list[Unsent] = []
    for channel in {report.delivery.channel for report in faults}:
        ours = [report for report in faults if report.delivery.channel == channel]
        for_people = [r for r in ours if isinstance(r.outcome, Misconfigured)]
        # An adapter of somebody else may put anything there, also what a database refuses.
        said = str((for_people or ours)[0].outcome.detail or "")
        detail = clean(said, limit_bytes=DETAIL_LIMIT_BYTES)
        if for_people:
            reason = detail or "the channel is misconfigured"
            await db.pause_channel(desk.patient, channel, reason, f"daemon {desk.me.name}")
            log.error(Event.CHANNEL_PAUSED, channel=channel, reason=reason)
            told = f"the channel was paused, for a fault of ours: {reason}"
        else:
            reason = detail or "the provider is unavailable"
            claims = [report.delivery.claim_id for report in ours]
            await desk.breakers.open(desk.patient, desk.me, channel, reason, claims)
            told = f"the provider is unavailable: {reason}"
        unsent += [Unsent(report.delivery, told) for report in ours]
    return unsent


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
    desk: Desk, reports: Sequence[Report], error: Exception
) -> list[Verdict | None]:
    """One report that the database refuses must not keep the others from being recorded."""
    log.error(Event.RECORD_FAILED, reports=len(reports), exc_info=error)
    if len(reports) == 1:
        bare = [_bare(reports[0])]
        return await db.record(desk.session, desk.me, bare, anyio.current_time())
    verdicts: list[Verdict | None] = []
    for report in reports:
        verdicts += await _record(desk, [report])
    return verdicts
