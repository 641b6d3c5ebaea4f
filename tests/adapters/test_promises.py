"""Hold each adapter to the promises of chimewayd/adapters/base.py."""

import asyncio
import json
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import astuple
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import anyio
import pytest
from lifeline import Lifeline
from receiver import Answer, Fault, Receiver, receiver

from chimewayd.adapters import BUILT_IN, make
from chimewayd.adapters.base import Adapter
from chimewayd.adapters.evidence import EXCERPT_LIMIT_BYTES
from chimewayd.models import Delivery, Outcome, Succeeded, TimedOut

pytestmark = pytest.mark.anyio

CANARY = "c4nary-in-the-coal-mine"
LONG = timedelta(seconds=20)
SHORT = timedelta(milliseconds=300)
GRACE_SECONDS = 10
"""Far more than a deadline may be missed by; only a hang is longer."""
ANY_JSON = ["{}", "[]", "null", "1e999", '"text"', "123456789012345678901234567890", '{"cut": ']


class Provider(Protocol):
    """The far side of an adapter that makes calls, in the hands of a test."""

    settings: Mapping[str, object]
    recipient: str

    @abstractmethod
    def say(self, text: str) -> None:
        """Refuse from now on, with this text."""

    @abstractmethod
    def hang(self) -> None:
        """Take calls from now on and never answer."""

    @abstractmethod
    async def called(self) -> None:
        """Wait for a call that hangs."""

    @abstractmethod
    async def left_alone(self) -> None:
        """Wait until nothing of ours is connected or running."""

    @abstractmethod
    def keys(self) -> list[str]:
        """Return the idempotency key of each call so far."""


class HookProvider(Provider):
    def __init__(self, hooks: Receiver) -> None:
        self._hooks = hooks
        self.settings = {"headers": {"Authorization": f"Bearer {CANARY}"}}
        self.recipient = f"{hooks.url}/?token={CANARY}"

    def say(self, text: str) -> None:
        self._hooks.script("/", Answer(status=500, body=text.encode()))

    def hang(self) -> None:
        self._hooks.script("/", Answer(fault=Fault.HANG_BEFORE_ANSWER))

    async def called(self) -> None:
        await self._hooks.wait_for(1)

    async def left_alone(self) -> None:
        await self._hooks.wait_until_disconnected()

    def keys(self) -> list[str]:
        return [request.headers["webhook-id"] for request in self._hooks.requests]


class CommandProvider(Provider):
    def __init__(self, script: Callable[[str], str], lifeline: Lifeline, seen: Path) -> None:
        self._write = script
        self._lifeline = lifeline
        self._seen = seen
        self.settings = {
            "command": [script(f"cat >> {seen}")],
            "environment": {"TOKEN": CANARY},
        }
        self.recipient = "ada"

    def say(self, text: str) -> None:
        said = self._seen.with_name("said")
        said.write_text(text)
        answer = json.dumps({"detail": text, "provider_message_id": text})
        said.with_name("answer").write_text(answer)
        self._write(f"cat {said} >&2; cat {said.with_name('answer')}; exit 75")

    def hang(self) -> None:
        self._write(f"exec 9>{self._lifeline.path}; sleep 600 & echo here >&9; sleep 600")

    async def called(self) -> None:
        assert await self._lifeline.line() == "here"

    async def left_alone(self) -> None:
        await self._lifeline.end()

    def keys(self) -> list[str]:
        calls = self._seen.read_text().splitlines()
        return [json.loads(call)["delivery_id"] for call in calls]


@pytest.fixture(params=["webhook", "exec"])
async def provider(
    request: pytest.FixtureRequest,
    script: Callable[[str], str],
    lifeline: Lifeline,
    tmp_path: Path,
) -> AsyncIterator[Provider]:
    async with AsyncExitStack() as stack:
        match request.param:
            case "webhook":
                yield HookProvider(await stack.enter_async_context(receiver()))
            case _:
                yield CommandProvider(script, lifeline, tmp_path / "seen")


def adapter_for(provider: Provider, timeout: timedelta = LONG) -> Adapter:
    kind = "webhook" if isinstance(provider, HookProvider) else "exec"
    return make("promises", kind, provider.settings, timeout)


def size_bytes(outcome: Outcome) -> int:
    return sum(len(str(value).encode()) for value in astuple(outcome))


async def test_repeat_carries_the_same_idempotency_key(
    provider: Provider, delivery: Delivery
) -> None:
    delivery = delivery._replace(recipient=provider.recipient)

    async with adapter_for(provider) as adapter:
        await adapter.deliver(delivery)
        await adapter.deliver(delivery._replace(attempt_number=2, claim_id=8))

    assert provider.keys() == [str(delivery.delivery_id)] * 2


async def test_one_delivery_is_one_call(provider: Provider, delivery: Delivery) -> None:
    async with adapter_for(provider) as adapter:
        outcome = await adapter.deliver(delivery._replace(recipient=provider.recipient))

    assert isinstance(outcome, Succeeded)
    assert len(provider.keys()) == 1


async def test_hanging_provider_is_a_timeout_after_the_request(
    provider: Provider, delivery: Delivery
) -> None:
    provider.hang()

    async with adapter_for(provider, SHORT) as adapter:
        with anyio.fail_after(GRACE_SECONDS):
            outcome = await adapter.deliver(delivery._replace(recipient=provider.recipient))
        await provider.left_alone()

    assert isinstance(outcome, TimedOut)
    assert outcome.request_sent


async def test_cancelled_attempt_leaves_nothing_behind(
    provider: Provider, delivery: Delivery
) -> None:
    provider.hang()
    tasks_before = asyncio.all_tasks()

    async with adapter_for(provider) as adapter:
        async with anyio.create_task_group() as attempts:
            attempts.start_soon(adapter.deliver, delivery._replace(recipient=provider.recipient))
            await provider.called()
            attempts.cancel_scope.cancel()
        # Still inside the adapter: leaving it must not be what cleans up.
        with anyio.fail_after(GRACE_SECONDS):
            await provider.left_alone()

    # The receiver lives in this loop too: its task sees the closed connection a moment later.
    left = asyncio.all_tasks() - tasks_before
    assert not left or not (await asyncio.wait(left, timeout=GRACE_SECONDS))[1]


async def test_outcome_holds_no_secret_that_the_provider_repeats(
    provider: Provider, delivery: Delivery
) -> None:
    provider.say(f"you said {CANARY} and Bearer {CANARY}, token={CANARY}")

    async with adapter_for(provider) as adapter:
        outcome = await adapter.deliver(delivery._replace(recipient=provider.recipient))

    assert outcome.response is not None
    assert outcome.response.startswith("you said [redacted]")
    assert CANARY not in repr(outcome)


async def test_secret_at_the_edge_of_the_excerpt_is_not_cut_in_half(
    provider: Provider, delivery: Delivery
) -> None:
    beside = "." * (EXCERPT_LIMIT_BYTES - 9)
    provider.say(f"{beside}{CANARY}{beside}")

    async with adapter_for(provider) as adapter:
        outcome = await adapter.deliver(delivery._replace(recipient=provider.recipient))

    assert outcome.response is not None
    assert CANARY[:9] not in outcome.response
    assert CANARY[-9:] not in outcome.response


async def test_outcome_is_bounded(provider: Provider, delivery: Delivery) -> None:
    provider.say("x" * 1_000_000)

    async with adapter_for(provider) as adapter:
        outcome = await adapter.deliver(delivery._replace(recipient=provider.recipient))

    assert outcome.response is not None
    assert 0 < size_bytes(outcome) < 2 * EXCERPT_LIMIT_BYTES


async def test_unreachable_recipient_raises_nothing(provider: Provider, delivery: Delivery) -> None:
    async with adapter_for(provider) as adapter:
        outcome = await adapter.deliver(delivery._replace(recipient="http://127.0.0.1:1/"))

    assert isinstance(outcome, Outcome)


@pytest.mark.parametrize("kind", ["log", "sink"])
async def test_adapter_without_a_provider_succeeds(kind: str, delivery: Delivery) -> None:
    async with make("promises", kind, {}, LONG) as adapter:
        assert isinstance(await adapter.deliver(delivery), Succeeded)


@pytest.mark.parametrize("payload", ANY_JSON)
@pytest.mark.parametrize("kind", BUILT_IN)
async def test_no_payload_raises_anything(
    kind: str, payload: str, delivery: Delivery, script: Callable[[str], str]
) -> None:
    settings = {"exec": {"command": [script("exit 0")]}}.get(kind, {})

    async with receiver() as hooks, make("promises", kind, settings, LONG) as adapter:
        outcome = await adapter.deliver(
            delivery._replace(recipient=hooks.url, payload_json=payload)
        )

    assert isinstance(outcome, Outcome)


async def test_sink_with_a_delay_beyond_its_timeout_times_out(delivery: Delivery) -> None:
    async with make("promises", "sink", {"delay": "1h"}, timedelta(milliseconds=1)) as adapter:
        with anyio.fail_after(GRACE_SECONDS):
            outcome = await adapter.deliver(delivery)

    assert isinstance(outcome, TimedOut)
    assert not outcome.request_sent
