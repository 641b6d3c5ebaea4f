"""Calls the adapters: the third stage. It never sees the database.

    a delivery ─▶ call gate ─▶ adapter.deliver ─▶ Outcome ─▶ a report
                     │ too late       │ deadline, stop
                     ▼                ▼
              given back unsent    cut ─▶ TimedOut, Uncertain

Each call runs in a worker of its own, behind a barrier: whatever the adapter raises is an
outcome, an adapter that hangs is cut at its deadline, and one that will not be cut is abandoned.
Workers are plain asyncio tasks, for a task group cannot leave a child behind.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

import anyio
import structlog
from anyio.streams.memory import MemoryObjectReceiveStream

from chimewayd import failpoints
from chimewayd.adapters.base import Adapter
from chimewayd.adapters.evidence import without_recipient
from chimewayd.leases import Leases
from chimewayd.log import Event
from chimewayd.log_context import bind_ids
from chimewayd.models import Delivery, Outcome, Report, TimedOut, Uncertain, Unclassified, Unsent
from chimewayd.outbox import Outbox
from chimewayd.slots import Slots

DEADLINE_GRACE_SECONDS = 1.0
"""How much later than the adapter's own deadline a call is cut: it knows more than we do."""

CUT_GRACE_SECONDS = 5.0
"""How long a call that was cut may take to clean up before it is abandoned."""

DEADLINE_CHECK_SECONDS = 0.1

ABANDONED_LIMIT = 5
"""Calls that may be left behind before only a new process helps."""

log = structlog.get_logger()


class Cut(Enum):
    """Why we ended a call that had not ended."""

    DEADLINE = auto()
    STOP = auto()


@dataclass(frozen=True, slots=True, eq=False)
class Channel:
    """An adapter that was entered, and how long a call of it may take."""

    adapter: Adapter
    timeout_seconds: float


@dataclass(slots=True)
class Worker:
    """One task that makes calls, and the call it is in."""

    task: asyncio.Task[None]
    delivery: Delivery | None = None
    started: float = 0.0
    deadline: float = 0.0
    cut: Cut | None = None
    cut_at: float = 0.0

    def ids(self) -> dict[str, object]:
        """Name the call it is in, for the log."""
        if (one := self.delivery) is None:
            return {}
        attempt = one.attempt_number - one.attempts_before
        return {"delivery_id": one.delivery_id, "channel": one.channel, "attempt": attempt}


@dataclass(slots=True)
class Calls:
    """Everything the workers share."""

    channels: Mapping[str, Channel]
    slots: Slots
    leases: Leases
    reports: Outbox[Report]
    unsent: Outbox[Unsent]
    workers: dict[asyncio.Task[None], Worker] = field(default_factory=dict)
    idle: list[asyncio.Future[None]] = field(default_factory=list)
    is_hand_called: bool = False
    """A worker was woken or hired and has not come yet."""
    quiet: anyio.Event | None = None  # set when a call ends; None: nobody waits for that
    failure: BaseException | None = None
    abandoned: int = 0
    overrun: anyio.Event = field(default_factory=anyio.Event)
    """Set when `ABANDONED_LIMIT` is reached."""

    @property
    def busy(self) -> list[Worker]:
        return [worker for worker in self.workers.values() if worker.delivery is not None]


async def run(
    claimed: MemoryObjectReceiveStream[list[Delivery]], calls: Calls, grace: Callable[[], float]
) -> None:
    """Call the adapters for what is claimed, until `claimed` closes; then stop within the grace.

    What was not begun by then goes to `unsent`; calls get `grace()` seconds to end and are cut
    after that. Both outboxes are closed at the end.
    """
    try:
        async with anyio.create_task_group() as keepers:
            keepers.start_soon(_keep_deadlines, calls)
            async for batch in claimed:
                calls.unsent.put_all(calls.slots.queue(batch))
                call_hands(calls)
            calls.unsent.put_all([Unsent(d) for d in calls.slots.give_up_waiting()])
            await _finish(calls, grace())
            keepers.cancel_scope.cancel()
    finally:
        workers = list(calls.workers.values())
        # A worker that is none any more begins no other call, whatever becomes of this one.
        calls.workers.clear()
        for worker in workers:
            _cut(worker, Cut.STOP)
        calls.reports.close()
        calls.unsent.close()


async def _finish(calls: Calls, grace_seconds: float) -> None:
    with anyio.move_on_after(grace_seconds):
        await _until_quiet(calls)
    for worker in calls.busy:
        _cut(worker, Cut.STOP)
    with anyio.move_on_after(CUT_GRACE_SECONDS):
        await _until_quiet(calls)
    for worker in calls.busy:
        _abandon(calls, worker)


async def _until_quiet(calls: Calls) -> None:
    while calls.busy:
        calls.quiet = anyio.Event()
        await calls.quiet.wait()


def call_hands(calls: Calls) -> None:
    """Wake one idle worker, or hire one; it calls the next if there is more to do.

    One that was called and has not come yet is enough: where calls do not wait, it makes them all.
    """
    if calls.is_hand_called:
        return
    calls.is_hand_called = True
    while calls.idle:
        waiter = calls.idle.pop()
        if not waiter.done():
            waiter.set_result(None)
            return
    if len(calls.workers) < calls.slots.concurrency:
        task = asyncio.get_running_loop().create_task(_work(calls))
        calls.workers[task] = Worker(task)
        task.add_done_callback(lambda task: _dismiss(calls, task))
    else:
        calls.is_hand_called = False  # all of them are in a call, and look when it ends


def _dismiss(calls: Calls, task: asyncio.Task[None]) -> None:
    calls.workers.pop(task, None)
    calls.is_hand_called = False
    if not task.cancelled() and (error := task.exception()) is not None:
        calls.failure = error
    if calls.quiet is not None:
        calls.quiet.set()


async def _work(calls: Calls) -> None:
    loop = asyncio.get_running_loop()
    worker = calls.workers[asyncio.current_task()]  # type: ignore[index] # we are a task
    bind_ids(worker.ids)
    slots = calls.slots
    calls.is_hand_called = False
    while worker.task in calls.workers:
        delivery = slots.next()
        if delivery is None:
            waiter = loop.create_future()
            calls.idle.append(waiter)
            await waiter
            calls.is_hand_called = False
            continue
        if slots.waiting:
            call_hands(calls)
        channel = calls.channels.get(delivery.channel)
        worker.started = loop.time()
        seconds = channel.timeout_seconds + DEADLINE_GRACE_SECONDS if channel else 0.0
        # A reload may have taken the channel away.
        if not channel or not calls.leases.fits(delivery.claim_id, worker.started, seconds):
            slots.finish(delivery, was_called=False)
            calls.unsent.put(Unsent(delivery))
            continue
        worker.deadline = worker.started + seconds
        worker.delivery = delivery
        outcome = await _attempt(channel.adapter, delivery, worker)
        if worker.task not in calls.workers:
            # Torn down; or abandoned: it was reported without us, and our slot is another's.
            return
        # A cancellation that the call left behind must not end the next one.
        while worker.task.cancelling():
            worker.task.uncancel()
        worker.delivery = None
        calls.reports.put(Report(delivery, outcome, worker.started, loop.time()))
        slots.finish(delivery)
        if calls.quiet is not None:
            calls.quiet.set()


async def _attempt(adapter: Adapter, delivery: Delivery, worker: Worker) -> Outcome:
    """Make one call. The barrier: whatever comes out of the adapter is this delivery's outcome."""
    try:
        returned: object = await (
            failpoints.around_call(adapter.deliver, delivery)
            if failpoints.armed
            else adapter.deliver(delivery)
        )
        returned = without_recipient(returned, delivery.recipient)
    except BaseException as error:  # noqa: BLE001 - the barrier: a call ends itself and no more
        if worker.cut is not None:
            return _end_of_cut(worker)
        return _misbehaved(delivery, f"raised {type(error).__name__}", error)
    if worker.cut is not None:
        _end_of_cut(worker)  # it answered all the same
    if isinstance(returned, Outcome):
        return returned
    return _misbehaved(delivery, f"returned {type(returned).__name__}, which is no outcome")


def _end_of_cut(worker: Worker) -> Outcome:
    cut, worker.cut = worker.cut, None
    if cut is Cut.STOP:
        return Uncertain(detail="the daemon stopped during the call")
    return TimedOut(detail="no answer within the deadline; the call was cut")


def _misbehaved(delivery: Delivery, what: str, error: BaseException | None = None) -> Outcome:
    log.error(
        Event.ADAPTER_MISBEHAVED,
        delivery_id=delivery.delivery_id,
        channel=delivery.channel,
        what=what,
        exc_info=error,
    )
    return Unclassified(detail=f"the adapter {what}")


def _cut(worker: Worker, cut: Cut) -> None:
    if worker.cut is None:
        worker.cut = cut
        worker.cut_at = asyncio.get_running_loop().time()
        worker.task.cancel()


def _abandon(calls: Calls, worker: Worker) -> None:
    """Report a call that will not end, and give its slot to somebody else."""
    delivery = worker.delivery
    if delivery is None:
        return
    now = asyncio.get_running_loop().time()
    worker.delivery = None
    calls.workers.pop(worker.task, None)
    calls.abandoned += 1
    if calls.abandoned >= ABANDONED_LIMIT:
        calls.overrun.set()
    log.error(Event.ADAPTER_ABANDONED, delivery_id=delivery.delivery_id, channel=delivery.channel)
    outcome: Outcome = TimedOut(
        detail="no answer within the deadline, and the adapter would not be cut"
    )
    if worker.cut is Cut.STOP:
        outcome = Uncertain(detail="the daemon stopped during the call, and it would not be cut")
    calls.reports.put(Report(delivery, outcome, worker.started, now))
    calls.slots.finish(delivery)
    if calls.quiet is not None:
        calls.quiet.set()
    call_hands(calls)


async def _keep_deadlines(calls: Calls) -> None:
    """Cut calls at their deadline, send away what a slow host holds up: one look for all."""
    loop = asyncio.get_running_loop()
    while True:
        await anyio.sleep(DEADLINE_CHECK_SECONDS)
        if calls.failure is not None:
            raise calls.failure
        calls.unsent.put_all(calls.slots.shed())
        now = loop.time()
        for worker in calls.busy:
            if worker.cut is not None and now > worker.cut_at + CUT_GRACE_SECONDS:
                _abandon(calls, worker)
            elif now > worker.deadline:
                _cut(worker, Cut.DEADLINE)
