"""What the tests of the adapters share: an ordinary delivery, scripts, and a lifeline."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from asyncpg.pgproto.pgproto import UUID
from google_stand_in import TokenEndpoint, token_endpoint
from lifeline import Lifeline, open_lifeline

from chimewayd.models import Delivery
from chimewayd.testing.receiver import Receiver, receiver


@pytest.fixture
def delivery() -> Delivery:
    """Return an ordinary delivery; `_replace` what a test is about."""
    return Delivery(
        # As the database's driver makes it, which is not the standard library's own.
        delivery_id=UUID("01890a5d-ac96-774b-bcce-b302099a8057"),
        claim_id=7,
        attempt_number=1,
        channel="hooks",
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
    )


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], str]:
    """Write a shell script and return its path."""

    def write(text: str) -> str:
        path = tmp_path / "script"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return str(path)

    return write


@pytest.fixture
async def lifeline(tmp_path: Path) -> AsyncIterator[Lifeline]:
    """A lifeline for the scripts of one test."""
    async with open_lifeline(tmp_path / "lifeline") as line:
        yield line


@pytest.fixture
async def tokens() -> AsyncIterator[TokenEndpoint]:
    async with token_endpoint() as endpoint:
        yield endpoint


@pytest.fixture
async def hooks() -> AsyncIterator[Receiver]:
    async with receiver() as api:
        yield api


@pytest.fixture
def push(delivery: Delivery) -> Delivery:
    """A delivery to a phone."""
    return delivery._replace(recipient="app-1:t0k", payload_json='{"text": "Hello"}')
