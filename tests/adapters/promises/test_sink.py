"""The promises of the sink adapter."""

from datetime import timedelta

import anyio
import pytest

from chimewayd.adapters import make
from chimewayd.models import Delivery, TimedOut
from chimewayd.testing import AdapterPromises, Target

WAIT_SECONDS = 10


class TestSink(AdapterPromises):
    kind = "sink"

    @pytest.fixture
    def provider(self) -> Target:
        return Target()

    async def test_delay_beyond_the_deadline_times_out(self, delivery: Delivery) -> None:
        async with make("promises", "sink", {"delay": "1h"}, timedelta(milliseconds=1)) as adapter:
            with anyio.fail_after(WAIT_SECONDS):
                outcome = await adapter.deliver(delivery)

        assert isinstance(outcome, TimedOut)
        assert not outcome.request_sent
