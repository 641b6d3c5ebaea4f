"""The exec adapter on a machine that starts nothing at the moment."""

import resource
from collections.abc import Callable
from datetime import timedelta

import pytest

from chimewayd.adapters import make
from chimewayd.models import Delivery, Unavailable

pytestmark = pytest.mark.anyio


async def test_machine_that_starts_no_command_now_costs_no_attempt(
    delivery: Delivery, script: Callable[[str], str]
) -> None:
    settings = {"command": [script("exit 0")]}
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with make("exec", "exec", settings, timedelta(seconds=20)) as adapter:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
        try:
            outcome = await adapter.deliver(delivery)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    assert outcome == Unavailable(detail="the command could not be started: Too many open files")
