"""Accept every delivery at once and do nothing with it: for benchmarks and staging."""

import asyncio
from datetime import timedelta
from typing import ClassVar

from pydantic import Field

from chimewayd.adapters.base import AdapterSettings, HoldsNothing
from chimewayd.durations import Duration
from chimewayd.models import Delivery, Outcome, Succeeded, TimedOut

_ACCEPTED = Succeeded()


class SinkSettings(AdapterSettings):
    """Settings of a sink channel."""

    delay: Duration = Field(
        default=timedelta(),
        ge=timedelta(),
        description="how long each delivery takes, as in 10ms",
    )


class SinkAdapter(HoldsNothing):
    """Accepts everything, after `delay`; times out like a provider where the delay is longer."""

    Settings: ClassVar[type[AdapterSettings]] = SinkSettings

    def __init__(self, settings: SinkSettings, timeout: timedelta) -> None:
        in_time = settings.delay <= timeout
        self._outcome = _ACCEPTED if in_time else TimedOut(request_sent=False)
        self._delay_seconds = min(settings.delay, timeout).total_seconds()

    async def deliver(self, delivery: Delivery) -> Outcome:  # noqa: ARG002 - the protocol's
        if self._delay_seconds:
            # Half of anyio's cost: this one stands in benchmarks of the engine.
            await asyncio.sleep(self._delay_seconds)
        return self._outcome
