"""What is kept of an answer is bounded in figures that stand here, whatever the code says."""

import sys
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from deliveries import delivery
from mailing import mail_to, smtp
from relay import Verb, relay

from chimewayd.adapters import make
from chimewayd.models import Outcome
from chimewayd.testing.receiver import HERE, Answer, Receiver, receiver

pytestmark = pytest.mark.anyio

TIMEOUT = timedelta(seconds=20)
KEPT_BYTES = 2048
"""As the adapters' README promises for an answer and for the output of a command."""
DETAIL_BYTES = 500
MESSAGE_ID_BYTES = 255
BABBLE = "ä" * 1_000_000


@pytest.fixture
async def hooks() -> AsyncIterator[Receiver]:
    async with receiver() as babbling:
        yield babbling


def assert_bounded(outcome: Outcome) -> None:
    response = getattr(outcome, "response", None) or ""
    assert 0 < len(response.encode()) <= KEPT_BYTES
    assert len((getattr(outcome, "detail", None) or "").encode()) <= DETAIL_BYTES
    assert len((getattr(outcome, "provider_message_id", None) or "").encode()) <= MESSAGE_ID_BYTES


async def test_babbling_receiver_is_kept_in_two_kibibytes(hooks: Receiver) -> None:
    hooks.script("/", Answer(status=500, body=BABBLE.encode()))
    async with make("hooks", "webhook", HERE, TIMEOUT) as adapter:
        outcome = await adapter.deliver(delivery(recipient=f"{hooks.url}/"))

    assert_bounded(outcome)


async def test_babbling_provider_is_kept_in_two_kibibytes(hooks: Receiver) -> None:
    body = f'{{"ok": false, "error": "no", "description": "{BABBLE}"}}'[:15_000] + '"}'
    hooks.script("/bot1:canary/sendMessage", Answer(status=400, body=body.encode()))
    settings = {**HERE, "token": "1:canary", "base_url": f"{hooks.url}/"}
    async with make("chat", "telegram", settings, TIMEOUT) as adapter:
        outcome = await adapter.deliver(delivery(recipient="42", payload_json='{"text": "Hi"}'))

    assert_bounded(outcome)


async def test_babbling_command_is_kept_in_two_kibibytes() -> None:
    babble = "import sys; sys.stderr.write('ä' * 1_000_000); sys.exit(75)"
    settings = {"command": [sys.executable, "-c", babble]}
    async with make("jobs", "exec", settings, TIMEOUT) as adapter:
        outcome = await adapter.deliver(delivery())

    assert_bounded(outcome)


@pytest.mark.parametrize("code", ["250", "450", "550"])
async def test_babbling_relay_is_kept_in_two_kibibytes(code: str) -> None:
    lines = "".join(f"{code}-{'b' * 500}\r\n" for _ in range(20))
    async with relay() as smarthost, smtp(smarthost.port) as adapter:
        smarthost.script(Verb.DOT, f"{lines}{code} queued as {'q' * 500}")
        outcome = await adapter.deliver(mail_to(delivery()))

    assert_bounded(outcome)
