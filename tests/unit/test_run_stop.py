"""The end of the run stage: in order, or torn down; nothing is left behind."""

import asyncio
import io
from collections.abc import Iterator

import anyio
import pytest
from deliveries import deliveries, delivery
from loglines import lines, restored_logging, started
from stage import WAIT_SECONDS, Stubborn, hang, scripted, stage, succeed, until_only, wait_briefly

from chimewayd.models import Delivery, Outcome, Succeeded, Uncertain

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    wait_briefly(monkeypatch)


@pytest.fixture
def log_lines() -> Iterator[io.BytesIO]:
    with restored_logging():
        yield started()


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
        await adapter.until_called(2)
        running.claimed.close()
        reports = await running.reports(2)

    assert all(isinstance(report.outcome, Uncertain) for report in reports)


async def test_stop_abandons_a_call_that_will_not_be_cut() -> None:
    stubborn = Stubborn()
    adapter = scripted(stubborn)

    async with stage(adapter) as running:
        running.put(delivery())
        await adapter.until_called()
        running.claimed.close()
        (report,) = await running.reports(1)

    stubborn.release.set()
    assert isinstance(report.outcome, Uncertain)
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
        await adapter.until_called(2)
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
        await adapter.until_called()
        running.scope.cancel()
    await stubborn.cut.wait()
    stubborn.release.set()

    await until_only(before)
    assert len(adapter.called) == 1
