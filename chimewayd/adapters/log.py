"""Write one log line for each delivery: for development and for audit trails."""

from datetime import timedelta
from typing import ClassVar

import orjson
import structlog
from pydantic import Field

from chimewayd.adapters.base import AdapterSettings, HoldsNothing
from chimewayd.adapters.evidence import clean
from chimewayd.log import Event
from chimewayd.log_output import lines_lost
from chimewayd.models import Delivery, Outcome, Permanent, Succeeded, Unavailable

MOST_KEYS = 50
_KEY_LIMIT_BYTES = 100

_logger = structlog.get_logger()


class LogSettings(AdapterSettings):
    """Settings of a log channel."""

    show_payload: bool = Field(
        default=False,
        description="true logs payloads with their values (for development), false the keys only",
    )


class LogAdapter(HoldsNothing):
    """Logs who would get what; a payload must be a JSON object, as with most real providers."""

    Settings: ClassVar[type[AdapterSettings]] = LogSettings

    def __init__(self, settings: LogSettings, timeout: timedelta) -> None:  # noqa: ARG002 - the protocol's
        self._shows_payload = settings.show_payload

    async def deliver(self, delivery: Delivery) -> Outcome:
        try:
            payload = orjson.loads(delivery.payload_json)
        except orjson.JSONDecodeError:
            return Permanent(detail="payload cannot be read as JSON")
        if not isinstance(payload, dict):
            return Permanent(detail="payload must be a JSON object")
        keys = [clean(key, limit_bytes=_KEY_LIMIT_BYTES) or "" for key in payload]
        lost_before = lines_lost()
        _logger.info(
            Event.DELIVERY_LOGGED,
            channel=delivery.channel,
            recipient=delivery.recipient,
            delivery_id=str(delivery.delivery_id),
            payload_keys=keys[:MOST_KEYS],
            **({"payload": payload} if self._shows_payload else {}),
        )
        if lines_lost() > lost_before:
            return Unavailable(detail="the log cannot be written")
        return Succeeded()
