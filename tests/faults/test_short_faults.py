"""A short part of the fault suite, all of it at once; `make test-faults` runs the whole."""

from collections.abc import AsyncIterator

import anyio
import pytest

from faults.cases import CASES
from faults.cluster import casting
from faults.perform import perform
from faults.round import Frame, Result

pytestmark = pytest.mark.anyio

SHORT = ("kill-once", "stop-cont", "terminate", "server-crash", "versions")


@pytest.fixture(scope="module")
async def results() -> AsyncIterator[dict[str, Result]]:
    """One round of each case: they wait most of the time, so they wait together."""
    found: dict[str, Result] = {}

    async def run(name: str) -> None:
        found[name] = await perform(CASES[name], 0, mould, Frame(seed=1))

    async with casting() as mould:
        async with anyio.create_task_group() as rounds:
            for name in SHORT:
                rounds.start_soon(run, name)
        yield found


@pytest.mark.parametrize("name", SHORT)
async def test_fault_loses_nothing_and_repeats_nothing_unrecorded(
    name: str, results: dict[str, Result]
) -> None:
    result = results[name]

    assert list(result.problems) == []
    assert result.audit is not None
    assert result.audit.inserted == result.audit.terminal > 0
