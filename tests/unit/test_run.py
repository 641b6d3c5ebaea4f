"""The third stage with scripted adapters: every way in which a call can go wrong."""

import asyncio
import io
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import anyio
import pytest
from anyio.streams.memory import MemoryObjectSendStream
from deliveries import deliveries, delivery
from loglines import lines, restored_logging, started

from chimewayd import run as run_module
from chimewayd.adapters.base import AdapterSettings, HoldsNothing
from chimewayd.leases import Leases
from chimewayd.models import (
    Delivery,
    Outcome,
    Report,
    Succeeded,
    TimedOut,
    Uncertain,
    Unclassified,
)
from chimewayd.outbox import Outbox
from chimewayd.run import Calls, Channel, run
from chimewayd.slots import Slots

pytestmark = pytest.mark.anyio

WAIT_SECONDS = 5
Deed = Callable[[Delivery], Awaitable[object]]


class Scripted(HoldsNothing):
    """Does what a test says: each deed once, in turn, and then the last one for ever."""

    Settings = AdapterSettings

    def __init__(self, settings: AdapterSettings, timeout: timedelta) -> None:
        self._deeds: list[Deed] = []
        self.called: list[Delivery] = []

    def does(self, *deeds: Deed) -> "Scripted":
        self._deeds = list(deeds)
        return self

    async def deliver(self, delivery: Delivery) -> Outcome:
        self.called.append(delivery)
        deed = self._deeds.pop(0) if len(self._deeds) > 1 else self._deeds[0]
        return await deed(delivery)  # type: ignore[return-value] # breaking promises is its purpose


def scripted(*deeds: Deed) -> Scripted:
    return Scripted(AdapterSettings(), timedelta(seconds=1)).does(*deeds)


@dataclass
class Stage:
    """The stage under test, and both of its ends."""

    calls: Calls
    claimed: MemoryObjectSendStream[list[Delivery]]
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)

    def put(self, *batch: Delivery) -> None:
        self.calls.leases.begin(list(batch), asyncio.get_running_loop().time())
        self.calls.slots.take(batch)
        self.claimed.send_nowait(list(batch))

    async def reports(self, count: int) -> list[Report]:
        """Take this many reports, as the next stage would."""
        taken: list[Report] = []
        with anyio.fail_after(WAIT_SECONDS):
            while len(taken) < count:
                taken += await self.calls.reports.take(count)
        return taken

    async def unsent(self) -> list[Delivery]:
        with anyio.fail_after(WAIT_SECONDS):
            return await self.calls.unsent.take(100)


@asynccontextmanager
async def stage(
    adapter: Scripted,
    *,
    concurrency: int = 1,
    timeout_seconds: float = 60,
    lease_seconds: float = 3600,
    grace_seconds: float = 0,
) -> AsyncIterator[Stage]:
    """Run the stage; it stops, as the daemon would stop it, at the end of the context."""
    send, receive = anyio.create_memory_object_stream[list[Delivery]](math.inf)
    calls = Calls(
        channels={"hooks": Channel(adapter, timeout_seconds)},
        slots=Slots(concurrency, {"hooks": concurrency}),
        leases=Leases(lease_seconds),
        reports=Outbox(),
        unsent=Outbox(),
    )
    running = Stage(calls, send)

    async def run_within_scope() -> None:
        with running.scope:
            await run(receive, calls, grace_seconds)

    with send, receive, anyio.fail_after(WAIT_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run_within_scope)
            yield running
            send.close()


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "DEADLINE_GRACE_SECONDS", 0.0)
    monkeypatch.setattr(run_module, "DEADLINE_CHECK_SECONDS", 0.005)
    monkeypatch.setattr(run_module, "CUT_GRACE_SECONDS", 0.05)


@pytest.fixture
def log_lines() -> Iterator[io.BytesIO]:
    with restored_logging():
        yield started()


async def until_only(tasks: set["asyncio.Task[object]"]) -> None:
    """Wait until no task lives but these."""
    with anyio.fail_after(WAIT_SECONDS):
        while asyncio.all_tasks() - tasks:
            await anyio.sleep(0)


async def succeed(_: Delivery) -> Outcome:
    return Succeeded()


async def hang(_: Delivery) -> Outcome:
    await anyio.sleep_forever()
    raise AssertionError("unreachable")


def raising(error: BaseException) -> Deed:
    async def deed(_: Delivery) -> Outcome:
        raise error

    return deed


def returning(value: object) -> Deed:
    async def deed(_: Delivery) -> object:
        return value

    return deed


async def cancel_itself(_: Delivery) -> Outcome:
    _current_task().cancel()
    return await hang(_)


async def leave_a_cancellation_behind(_: Delivery) -> Outcome:
    _current_task().cancel()
    try:
        await anyio.sleep_forever()
    except asyncio.CancelledError:
        raise ValueError("gave up") from None
    raise AssertionError("unreachable")


def _current_task() -> "asyncio.Task[object]":
    task = asyncio.current_task()
    assert task is not None
    return task


class Stubborn:
    """A call that will not be cut until the test lets it go."""

    def __init__(self) -> None:
        self.cut = anyio.Event()
        self.release = asyncio.Event()

    async def __call__(self, _: Delivery) -> Outcome:
        while not self.release.is_set():
            try:
                await self.release.wait()
            except asyncio.CancelledError:
                self.cut.set()
        return Succeeded()


async def test_outcome_is_reported_with_its_delivery_and_times() -> None:
    one = delivery()

    async with stage(scripted(succeed)) as running:
        running.put(one)
        (report,) = await running.reports(1)

    assert report.delivery == one
    assert report.outcome == Succeeded()
    assert report.started <= report.finished


@pytest.mark.parametrize(
    ("deed", "said"),
    [
        pytest.param(returning(None), "returned NoneType", id="returns nothing"),
        pytest.param(returning("sent"), "returned str", id="returns a text"),
        pytest.param(returning(Succeeded), "returned type", id="returns a class"),
        pytest.param(raising(ValueError("no")), "raised ValueError", id="raises"),
        pytest.param(
            raising(ExceptionGroup("several", [OSError()])), "raised ExceptionGroup", id="group"
        ),
        pytest.param(raising(KeyboardInterrupt()), "raised KeyboardInterrupt", id="interrupt"),
        pytest.param(raising(SystemExit(3)), "raised SystemExit", id="exit"),
        pytest.param(
            raising(asyncio.CancelledError()), "raised CancelledError", id="raises cancelled"
        ),
        pytest.param(cancel_itself, "raised CancelledError", id="cancels itself"),
        pytest.param(leave_a_cancellation_behind, "raised ValueError", id="turns it into an error"),
    ],
)
async def test_adapter_that_misbehaves_ends_its_own_call_and_nothing_else(
    deed: Deed, said: str, log_lines: io.BytesIO
) -> None:
    first, second = deliveries(2)

    async with stage(scripted(deed, succeed)) as running:
        running.put(first, second)
        reports = await running.reports(2)

    assert [report.delivery for report in reports] == [first, second]
    broken, fine = (report.outcome for report in reports)
    assert isinstance(broken, Unclassified)
    assert broken.detail is not None
    assert said in broken.detail
    assert fine == Succeeded()
    (line,) = lines(log_lines)
    assert (line["event"], line["level"]) == ("adapter_misbehaved", "error")
    assert line["delivery_id"] == str(first.delivery_id)


async def test_cancellation_left_behind_by_one_call_does_not_end_the_next() -> None:
    async def leave_one(_: Delivery) -> Outcome:
        _current_task().cancel()
        try:
            await anyio.sleep_forever()
        except asyncio.CancelledError:
            return Succeeded()
        raise AssertionError("unreachable")

    async with stage(scripted(leave_one, raising(ValueError("no")), succeed)) as running:
        running.put(*deliveries(3))
        first, second, third = [report.outcome for report in await running.reports(3)]

    assert (first, third) == (Succeeded(), Succeeded())
    assert isinstance(second, Unclassified)


async def test_call_that_hangs_is_cut_at_its_deadline() -> None:
    async with stage(scripted(hang, succeed), timeout_seconds=0.02) as running:
        running.put(*deliveries(2))
        cut, fine = [report.outcome for report in await running.reports(2)]

    assert isinstance(cut, TimedOut)
    assert cut.request_sent
    assert fine == Succeeded()


async def test_answer_of_a_call_that_was_cut_still_counts() -> None:
    async def answer_when_cut(_: Delivery) -> Outcome:
        try:
            return await hang(_)
        except asyncio.CancelledError:
            return TimedOut(request_sent=False)

    async with stage(scripted(answer_when_cut, hang), timeout_seconds=0.02) as running:
        running.put(*deliveries(2))
        first, second = [report.outcome for report in await running.reports(2)]

    assert first == TimedOut(request_sent=False)
    assert isinstance(second, TimedOut)


async def test_call_that_will_not_be_cut_is_abandoned_and_its_slot_given_back() -> None:
    stubborn = Stubborn()
    first, second = deliveries(2)

    async with stage(scripted(stubborn, succeed), timeout_seconds=0.02) as running:
        running.put(first, second)
        reports = await running.reports(2)
        abandoned, in_hand = running.calls.abandoned, running.calls.slots.running
        stubborn.release.set()

    assert [report.delivery for report in reports] == [first, second]
    assert isinstance(reports[0].outcome, TimedOut)
    assert reports[1].outcome == Succeeded()
    assert (abandoned, in_hand) == (1, 0)


async def test_late_answer_of_an_abandoned_call_is_not_reported_again() -> None:
    stubborn = Stubborn()
    before = asyncio.all_tasks()

    async with stage(scripted(stubborn, succeed), timeout_seconds=0.02) as running:
        running.put(delivery())
        await running.reports(1)
        stubborn.release.set()
        running.put(second := delivery())
        (report,) = await running.reports(1)

    await until_only(before)
    assert report.delivery == second
    assert await running.calls.reports.take(10) == []


async def test_too_many_abandoned_calls_ask_for_a_new_process() -> None:
    stubborn = Stubborn()
    limit = run_module.ABANDONED_LIMIT

    async with stage(scripted(stubborn), concurrency=limit, timeout_seconds=0.02) as running:
        running.put(*deliveries(limit - 1))
        await running.reports(limit - 1)
        was_overrun = running.calls.overrun.is_set()
        running.put(delivery())
        await running.reports(1)
        stubborn.release.set()

    assert not was_overrun
    assert running.calls.overrun.is_set()
    assert running.calls.abandoned == limit


async def test_call_that_might_outlast_its_lease_is_not_begun() -> None:
    adapter = scripted(succeed)
    batch = deliveries(3)

    async with stage(adapter, timeout_seconds=5, lease_seconds=4) as running:
        running.put(*batch)
        unsent = await running.unsent()
        running_calls = running.calls.slots.running

    assert unsent == batch
    assert adapter.called == []
    assert running_calls == 0


async def test_delivery_whose_lease_was_lost_meanwhile_is_not_begun() -> None:
    adapter = scripted(succeed)
    lost, kept = delivery(claim_id=1), delivery(claim_id=2)

    async with stage(adapter) as running:
        running.put(lost)
        running.put(kept)
        running.calls.leases.drop([1])
        (report,) = await running.reports(1)
        unsent = await running.unsent()

    assert unsent == [lost]
    assert report.delivery == kept
    assert adapter.called == [kept]


async def test_stop_lets_calls_end_within_the_grace_and_gives_the_rest_back() -> None:
    begun, go = anyio.Event(), anyio.Event()

    async def answer_on_command(_: Delivery) -> Outcome:
        begun.set()
        await go.wait()
        return Succeeded()

    adapter = scripted(answer_on_command)
    first, second = deliveries(2)

    async with stage(adapter, grace_seconds=WAIT_SECONDS) as running:
        running.put(first, second)
        await begun.wait()
        running.claimed.close()
        unsent = await running.unsent()
        go.set()
        (report,) = await running.reports(1)

    assert (report.delivery, report.outcome) == (first, Succeeded())
    assert unsent == [second]
    assert adapter.called == [first]


async def test_stop_cuts_calls_that_outlast_the_grace() -> None:
    adapter = scripted(hang)

    async with stage(adapter, concurrency=2, grace_seconds=0.01) as running:
        running.put(*deliveries(2))
        with anyio.fail_after(WAIT_SECONDS):
            while len(adapter.called) < 2:
                await anyio.sleep(0)
        running.claimed.close()
        reports = await running.reports(2)

    assert all(isinstance(report.outcome, Uncertain) for report in reports)


async def test_stop_abandons_a_call_that_will_not_be_cut() -> None:
    stubborn = Stubborn()
    adapter = scripted(stubborn)

    async with stage(adapter) as running:
        running.put(delivery())
        with anyio.fail_after(WAIT_SECONDS):
            while not adapter.called:
                await anyio.sleep(0)
        running.claimed.close()
        (report,) = await running.reports(1)

    stubborn.release.set()
    assert isinstance(report.outcome, TimedOut)
    assert running.calls.abandoned == 1


async def test_stage_closes_both_outboxes_when_it_ends() -> None:
    async with stage(scripted(succeed)) as running:
        running.put(delivery())
        await running.reports(1)

    assert await running.calls.reports.take(10) == []
    assert await running.unsent() == []


async def test_stage_that_ended_leaves_no_task_behind() -> None:
    before = asyncio.all_tasks()

    async with stage(scripted(succeed), concurrency=4) as running:
        running.put(*deliveries(8))
        await running.reports(8)

    await until_only(before)


async def test_stage_that_is_torn_down_leaves_no_task_behind(log_lines: io.BytesIO) -> None:
    before = asyncio.all_tasks()
    adapter = scripted(hang)

    async with stage(adapter, concurrency=2) as running:
        running.put(*deliveries(4))
        with anyio.fail_after(WAIT_SECONDS):
            while len(adapter.called) < 2:
                await anyio.sleep(0)
        running.scope.cancel()

    await until_only(before)
    assert len(adapter.called) == 2
    assert lines(log_lines) == []


async def test_call_that_survives_the_tear_down_is_not_followed_by_another() -> None:
    before = asyncio.all_tasks()
    stubborn = Stubborn()
    adapter = scripted(stubborn)

    async with stage(adapter) as running:
        running.put(*deliveries(2))
        with anyio.fail_after(WAIT_SECONDS):
            while not adapter.called:
                await anyio.sleep(0)
        running.scope.cancel()
    await stubborn.cut.wait()
    stubborn.release.set()

    await until_only(before)
    assert len(adapter.called) == 1


async def test_slots_are_never_more_than_the_concurrency() -> None:
    most = now = 0

    async def count(_: Delivery) -> Outcome:
        nonlocal most, now
        now += 1
        most = max(most, now)
        await anyio.sleep(0)
        now -= 1
        return Succeeded()

    async with stage(scripted(count), concurrency=3) as running:
        for _ in range(5):
            batch = deliveries(6)
            running.put(*batch)
            for report in await running.reports(6):
                running.calls.slots.free(report.delivery)

    assert most == 3
