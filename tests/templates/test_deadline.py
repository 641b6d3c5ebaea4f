"""The deadline of a call whose payload was rendered: the adapter knows best how it passed."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from deliveries import delivery
from mailing import smtp
from relay import Fault, Verb, relay

from chimewayd.models import Succeeded, TimedOut
from chimewayd.templates.templated import Templated

pytestmark = pytest.mark.anyio

DEADLINE = timedelta(seconds=5)
"""What renders is a process, and has to start within it."""


async def test_adapter_says_whether_the_request_had_left(
    folder: Path, write: Callable[..., None]
) -> None:
    write("shipped", subject="Hi", text="Hello")
    mail = delivery(recipient="ada@example.org", payload_json='{"template": "shipped"}')

    async with relay() as smarthost:
        adapter = smtp(smarthost.port, DEADLINE)
        async with Templated(adapter, folder, DEADLINE) as channel:
            first = await channel.deliver(mail)
            smarthost.script(Verb.RCPT, Fault.HANG)
            for _ in range(3):  # a crowded machine may take longer over a rendering
                outcome = await channel.deliver(mail)
                if "rendering" not in (outcome.detail or ""):
                    break

    assert isinstance(first, Succeeded)
    assert isinstance(outcome, TimedOut)
    assert not outcome.request_sent
    assert "RCPT TO" in (outcome.detail or "")
