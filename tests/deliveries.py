"""Deliveries as a claim returns them, for tests that need no database."""

from itertools import count
from typing import Any

from asyncpg.pgproto.pgproto import UUID

from chimewayd.models import Delivery

_NUMBERS = count(1)

PLENTY = 2**40
"""A budget of bytes that no test exhausts."""


def delivery(channel: str = "hooks", **changes: Any) -> Delivery:
    """Return an ordinary delivery with an id of its own; `changes` are what a test is about."""
    return Delivery(
        delivery_id=UUID(next(_NUMBERS).to_bytes(16)),
        claim_id=7,
        attempt_number=1,
        channel=channel,
        recipient="ada",
        payload_json='{"subject": "Hi"}',
        tenant_id=None,
        notification_key=None,
        correlation_id=None,
        idempotency_key=None,
        metadata_json="{}",
        max_attempts=5,
        attempts_before=0,
        lost_count=0,
    )._replace(**changes)


def deliveries(count: int, channel: str = "hooks", **changes: Any) -> list[Delivery]:
    """Return several ordinary deliveries of one channel."""
    return [delivery(channel, **changes) for _ in range(count)]
