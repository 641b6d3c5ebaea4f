"""The suite of promises: chimewayd/adapters/base.py as tests, for whatever adapter."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from datetime import timedelta
from typing import Any, ClassVar

import anyio
import pytest
from structlog.testing import capture_logs

from chimewayd.adapters import make
from chimewayd.adapters.base import Adapter
from chimewayd.adapters.evidence import EXCERPT_LIMIT_BYTES
from chimewayd.models import Delivery, Outcome, Succeeded, TimedOut
from chimewayd.testing.belongings import Belongings, left_since
from chimewayd.testing.provider import (
    CANARY,
    PROMISE,
    Promise,
    Provider,
    Target,
    ordinary_delivery,
    shows,
)

LONG = timedelta(seconds=20)
SHORT = timedelta(milliseconds=500)
GRACE_SECONDS = 10
"""Far more than a deadline may be missed by; only a hang is longer."""

DEEP = f'{{"subject": "Hi", "text": "Hello", "deep": {"[" * 300}{"]" * 300}}}'
"""Parsers of JSON that read this may not be able to write it."""
ANY_JSON = ["{}", "[]", "null", "1e999", '"text"', "123456789012345678901234567890", '{"cut": ']
ANY_TEXT = ["", " ", "nobody", "a\r\nb: c", "http://", "http://127.0.0.1:1/", "@", "☃" * 2000]


class AdapterPromises:
    """What every adapter promises, also one that calls nobody.

    A subclass names the adapter and has a fixture `provider` that gives a `Target`.
    """

    kind: ClassVar[str]
    """The adapter's name, as `channels.NAME.adapter` has it."""
    label: ClassVar[str] = ""
    """What the table calls it, if not by its name."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def anyio_backend(self) -> tuple[str, dict[str, Any]]:
        """Run as the daemon runs."""
        return "asyncio", {"use_uvloop": True}

    @pytest.fixture
    def delivery(self, provider: Target) -> Delivery:
        """An ordinary delivery."""
        return ordinary_delivery(provider)

    def adapter(self, target: Target, timeout: timedelta = LONG) -> Adapter:
        """Make the adapter as the daemon makes it for a channel."""
        return make("promises", self.kind, target.settings, timeout)

    @shows(Promise.OUTCOME)
    async def test_ordinary_delivery_succeeds(self, provider: Target, delivery: Delivery) -> None:
        async with self.adapter(provider) as adapter:
            outcome = await adapter.deliver(delivery)

        assert isinstance(outcome, Succeeded)

    @shows(Promise.RAISES_NOTHING)
    @pytest.mark.parametrize("payload", [*ANY_JSON, pytest.param(DEEP, id="deep")])
    async def test_no_payload_raises_anything(
        self, provider: Target, delivery: Delivery, payload: str
    ) -> None:
        async with self.adapter(provider) as adapter:
            outcome = await adapter.deliver(delivery._replace(payload_json=payload))

        assert isinstance(outcome, Outcome)

    @shows(Promise.RAISES_NOTHING)
    @pytest.mark.parametrize("recipient", ANY_TEXT, ids=lambda text: ascii(text[:20]))
    async def test_no_recipient_raises_anything(
        self, provider: Target, delivery: Delivery, recipient: str
    ) -> None:
        async with self.adapter(provider) as adapter:
            outcome = await adapter.deliver(delivery._replace(recipient=recipient))

        assert isinstance(outcome, Outcome)


class ProviderPromises(AdapterPromises):
    """What an adapter promises that calls a provider; its fixture gives a `Provider`."""

    answers: ClassVar[Sequence[tuple[Any, type[Outcome]]]]
    """What the provider can answer, and what each answer means for the delivery."""
    cannot: ClassVar[Mapping[Promise, str]] = {}
    """Promises that no adapter of this kind could keep, and why not; the table repeats it."""
    keeps_response: ClassVar[bool] = True
    """False only where a library between hides what the provider said."""

    @pytest.fixture(autouse=True)
    def _can_be_promised(self, request: pytest.FixtureRequest) -> None:
        promise: Promise | None = getattr(request.function, PROMISE, None)
        if promise and (excuse := self.cannot.get(promise)):
            pytest.skip(excuse)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Make one test of each answer."""
        if "answer" in metafunc.fixturenames:
            ids = [f"{answer} is {kind.__name__}" for answer, kind in self.answers]
            metafunc.parametrize(("answer", "kind"), self.answers, ids=ids)

    @shows(Promise.OUTCOME)
    async def test_answer_is_the_outcome_it_stands_for(
        self, provider: Provider, delivery: Delivery, answer: Any, kind: type[Outcome]
    ) -> None:
        provider.answer(answer)

        async with self.adapter(provider) as adapter:
            outcome = await adapter.deliver(delivery)

        assert type(outcome) is kind

    @shows(Promise.ONE_CALL)
    async def test_one_delivery_is_one_call(self, provider: Provider, delivery: Delivery) -> None:
        async with self.adapter(provider) as adapter:
            await adapter.deliver(delivery)

        assert len(provider.keys()) == 1

    @shows(Promise.ONE_CALL)
    async def test_refusal_is_not_tried_again(self, provider: Provider, delivery: Delivery) -> None:
        provider.say("not now")

        async with self.adapter(provider) as adapter:
            await adapter.deliver(delivery)

        assert len(provider.keys()) == 1

    @shows(Promise.SAME_KEY)
    async def test_repeat_carries_the_same_idempotency_key(
        self, provider: Provider, delivery: Delivery
    ) -> None:
        async with self.adapter(provider) as adapter:
            await adapter.deliver(delivery)
            await adapter.deliver(delivery._replace(attempt_number=2, claim_id=8))

        (key,) = set(provider.keys())
        assert str(delivery.delivery_id) in key

    @shows(Promise.DEADLINE)
    async def test_hanging_provider_is_a_timeout_after_the_request(
        self, provider: Provider, delivery: Delivery
    ) -> None:
        provider.hang()

        async with self.adapter(provider, SHORT) as adapter:
            with anyio.fail_after(GRACE_SECONDS):
                outcome = await adapter.deliver(delivery)
            await provider.left_alone()

        assert isinstance(outcome, TimedOut)
        assert outcome.request_sent

    @shows(Promise.NOTHING_LEFT)
    @pytest.mark.parametrize("by", ["scope", "task"])
    async def test_cancelled_attempt_leaves_nothing_behind(
        self, provider: Provider, delivery: Delivery, by: str
    ) -> None:
        before = Belongings.now()

        async with self.adapter(provider) as adapter:
            await adapter.deliver(delivery)
            warm = Belongings.now()
            provider.hang()
            if by == "scope":
                async with anyio.create_task_group() as attempts:
                    attempts.start_soon(adapter.deliver, delivery)
                    await provider.called()
                    attempts.cancel_scope.cancel()
            else:  # as the daemon does it
                attempt = asyncio.ensure_future(adapter.deliver(delivery))
                await provider.called()
                attempt.cancel()
                await asyncio.wait([attempt])
            # Still inside the adapter: leaving it must not be what cleans up. What a pool keeps
            # may stay until then, and new idle threads of it.
            with anyio.fail_after(GRACE_SECONDS):
                await provider.left_alone()
            assert not any(await left_since(warm, GRACE_SECONDS, threads=False))

        assert not any(await left_since(before, GRACE_SECONDS, threads=True))

    @shows(Promise.NOTHING_LEFT)
    async def test_cancelled_attempt_does_not_spoil_the_next(
        self, provider: Provider, delivery: Delivery
    ) -> None:
        accepted = next(answer for answer, kind in self.answers if kind is Succeeded)
        provider.hang()

        async with self.adapter(provider) as adapter:
            async with anyio.create_task_group() as attempts:
                attempts.start_soon(adapter.deliver, delivery)
                await provider.called()
                attempts.cancel_scope.cancel()
            provider.answer(accepted)
            outcome = await adapter.deliver(delivery)

        assert isinstance(outcome, Succeeded)

    @shows(Promise.NO_SECRET)
    async def test_outcome_holds_no_secret_that_the_provider_repeats(
        self, provider: Provider, delivery: Delivery
    ) -> None:
        assert CANARY in f"{provider.settings} {provider.recipient}"
        provider.say(f"you said {CANARY} and Bearer {CANARY}, token={CANARY}")

        async with self.adapter(provider) as adapter:
            outcome = await adapter.deliver(delivery)

        assert CANARY not in repr(outcome)
        assert not self.keeps_response or "you said [redacted]" in repr(outcome)

    @shows(Promise.NO_SECRET)
    async def test_secret_at_the_edge_of_the_excerpt_is_not_cut_in_half(
        self, provider: Provider, delivery: Delivery
    ) -> None:
        beside = "." * (EXCERPT_LIMIT_BYTES - 9)
        provider.say(f"{beside}{CANARY}{beside}")

        async with self.adapter(provider) as adapter:
            outcome = await adapter.deliver(delivery)

        assert CANARY[:9] not in repr(outcome)
        assert CANARY[-9:] not in repr(outcome)

    @shows(Promise.NO_SECRET)
    @pytest.mark.parametrize("goes", ["well", "wrong"])
    async def test_log_holds_no_secret(
        self,
        provider: Provider,
        delivery: Delivery,
        caplog: pytest.LogCaptureFixture,
        capfd: pytest.CaptureFixture[str],
        goes: str,
    ) -> None:
        if goes == "wrong":
            provider.say(f"you said {CANARY}")

        with caplog.at_level("DEBUG"), capture_logs() as events:
            async with self.adapter(provider) as adapter:
                await adapter.deliver(delivery)

        said = capfd.readouterr()
        assert CANARY not in f"{events} {caplog.text} {said.out} {said.err}"

    @shows(Promise.BOUNDED)
    async def test_outcome_is_bounded(self, provider: Provider, delivery: Delivery) -> None:
        provider.say("x" * 1_000_000)

        async with self.adapter(provider) as adapter:
            outcome = await adapter.deliver(delivery)

        size_bytes = sum(len(str(value).encode()) for value in astuple(outcome))
        assert 0 < size_bytes < 2 * EXCERPT_LIMIT_BYTES
        assert not self.keeps_response or "xxx" in repr(outcome)
