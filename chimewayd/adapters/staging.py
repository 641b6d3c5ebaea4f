"""What stands before a channel's adapter where nobody must be written to in earnest.

Each outcome says so: it is in the log line of the attempt and in the history for good.
"""

from dataclasses import replace
from types import TracebackType
from typing import ClassVar, Self

from chimewayd.adapters.base import Adapter, AdapterSettings, HoldsNothing
from chimewayd.models import Delivery, Outcome, Permanent, Succeeded, Unsubscribed

_SINK = Succeeded(detail="sink_all: nothing was sent")
_OVERRIDE = "recipient_override: this went to the recipient of the configuration"


class SinkAll(HoldsNothing):
    """Accepts everything and sends nothing; the channel's own adapter is made and never used."""

    Settings: ClassVar[type[AdapterSettings]] = AdapterSettings

    def __init__(self) -> None:
        """Hold nothing."""

    async def deliver(self, delivery: Delivery) -> Outcome:  # noqa: ARG002 - the protocol's
        return _SINK


class OneRecipient:
    """Sends everything to one recipient."""

    Settings: ClassVar[type[AdapterSettings]] = AdapterSettings

    def __init__(self, adapter: Adapter, recipient: str) -> None:
        self._adapter = adapter
        self._recipient = recipient

    async def __aenter__(self) -> Self:
        self._adapter = await self._adapter.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._adapter.__aexit__(kind, error, traceback)

    async def deliver(self, delivery: Delivery) -> Outcome:
        outcome = await self._adapter.deliver(delivery._replace(recipient=self._recipient))
        if isinstance(outcome, Unsubscribed):
            # Whoever said so is not the one who would be suppressed for it.
            outcome = Permanent(
                detail=outcome.detail, status_code=outcome.status_code, response=outcome.response
            )
        told = f"; {outcome.detail}" if outcome.detail else ""
        return replace(outcome, detail=f"{_OVERRIDE}{told}")
