"""The run stage: every way in which a call can go wrong."""

import asyncio
import io
from collections.abc import Iterator

import anyio
import pytest
from deliveries import PLENTY, deliveries, delivery
from loglines import lines, restored_logging, started
from stage import Deed, Stubborn, hang, scripted, stage, succeed, until_only, wait_briefly

from chimewayd import run as run_module
from chimewayd.models import Delivery, Outcome, Succeeded, TimedOut, Unclassified

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    wait_briefly(monkeypatch)


@pytest.fixture
def log_lines() -> Iterator[io.BytesIO]:
    with restored_logging():
        yield started()


class Unheard(BaseException):
    """What no adapter should raise."""


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
        pytest.param(raising(GeneratorExit()), "raised GeneratorExit", id="generator exit"),
        pytest.param(raising(Unheard()), "raised Unheard", id="a BaseException of its own"),
        pytest.param(raising(StopIteration()), "raised RuntimeError", id="stop iteration"),
        pytest.param(raising(MemoryError()), "raised MemoryError", id="memory"),
        pytest.param(raising(RecursionError()), "raised RecursionError", id="recursion"),
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


async def test_cancellation_left_behind_by_one_call_is_not_seen_by_the_next() -> None:
    async def leave_one(_: Delivery) -> Outcome:
        _current_task().cancel()
        try:
            await anyio.sleep_forever()
        except asyncio.CancelledError:
            return Succeeded()
        raise AssertionError("unreachable")

    async def look(_: Delivery) -> Outcome:
        return Succeeded(detail=f"{_current_task().cancelling()} cancellations")

    async with stage(scripted(leave_one, look)) as running:
        running.put(*deliveries(2))
        _, seen = [report.outcome for report in await running.reports(2)]

    assert seen.detail == "0 cancellations"


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


async def test_call_that_is_not_begun_says_nothing_of_the_pace_of_its_host() -> None:
    async with stage(scripted(succeed), timeout_seconds=5, lease_seconds=4) as running:
        slots = running.calls.slots
        slots.configure(1, {"hooks": 1}, PLENTY, (), {"hooks": 1})
        running.put(*deliveries(1))
        (unsent,) = await running.unsent()
        hosts = slots._lanes["hooks"].hosts

    assert hosts is not None
    host = hosts._hosts[unsent.recipient]
    assert (host.taken, host.call_seconds) == (set(), 0)


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
                running.calls.slots.free([report.delivery])

    assert most == 3
