"""The access token: who asks for it, who waits, and what becomes of a refused one."""

from datetime import timedelta

import anyio
import pytest
from google_stand_in import TokenEndpoint, answer, fcm, service_account

from chimewayd.adapters import make
from chimewayd.adapters.base import Adapter
from chimewayd.adapters.fcm import FcmAdapter
from chimewayd.models import (
    Delivery,
    Misconfigured,
    Outcome,
    Succeeded,
    Temporary,
    Unavailable,
)
from chimewayd.testing.receiver import HERE, Answer, Fault, Receiver

pytestmark = pytest.mark.anyio

LONG = timedelta(seconds=10)
SHORT = timedelta(milliseconds=600)
HANG = Answer(fault=Fault.HANG_BEFORE_ANSWER)
SEND = "/v1/projects/shop-1/messages:send"
UNAUTHENTICATED = Answer(status=401, body=b'{"error": {"status": "UNAUTHENTICATED"}}')


async def test_many_calls_share_one_token(
    tokens: TokenEndpoint, hooks: Receiver, push: Delivery
) -> None:
    async with fcm(tokens, hooks, LONG) as adapter, anyio.create_task_group() as calls:
        for _ in range(20):
            calls.start_soon(adapter.deliver, push)

    assert len(tokens.requests) == 1
    assert {request.headers["Authorization"] for request in hooks.requests} == {"Bearer token-1"}
    assert len(hooks.requests) == 20


async def test_token_that_has_ended_is_replaced(
    tokens: TokenEndpoint, hooks: Receiver, push: Delivery
) -> None:
    tokens.lasts_seconds = 0.001

    async with fcm(tokens, hooks, LONG) as adapter:
        await adapter.deliver(push)
        await adapter.deliver(push)

    used = [request.headers["Authorization"] for request in hooks.requests]
    assert used == ["Bearer token-1", "Bearer token-2"]


@pytest.mark.parametrize("answer", [Answer(status=503), HANG], ids=["refused", "hanging"])
async def test_token_that_has_ended_is_not_used_when_no_other_is_to_be_had(
    tokens: TokenEndpoint, hooks: Receiver, push: Delivery, answer: Answer
) -> None:
    tokens.lasts_seconds = 0.001

    async with fcm(tokens, hooks, SHORT) as adapter:
        await adapter.deliver(push)
        tokens.default = answer
        outcome = await adapter.deliver(push)

    assert isinstance(outcome, Unavailable)
    assert len(hooks.requests) == 1


@pytest.mark.parametrize("answer", [Answer(status=503), HANG], ids=["refused", "hanging"])
async def test_token_that_cannot_be_renewed_early_is_used_to_its_end(
    tokens: TokenEndpoint, hooks: Receiver, push: Delivery, answer: Answer
) -> None:
    async with fcm(tokens, hooks, SHORT) as adapter:
        await adapter.deliver(push)
        assert isinstance(adapter, FcmAdapter)
        adapter._tokens._renew_at = 0.0
        tokens.default = answer
        outcomes = [await adapter.deliver(push) for _ in range(3)]

    assert all(isinstance(outcome, Succeeded) for outcome in outcomes)
    # The next try is not made by the very next delivery.
    assert len(tokens.requests) == 2


async def test_token_is_renewed_by_one_call_while_others_go_on_with_the_old_one(
    tokens: TokenEndpoint, hooks: Receiver, push: Delivery
) -> None:
    async with fcm(tokens, hooks, LONG) as adapter:
        await adapter.deliver(push)
        assert isinstance(adapter, FcmAdapter)
        adapter._tokens._renew_at = 0.0
        tokens.default = HANG
        async with anyio.create_task_group() as calls:
            calls.start_soon(adapter.deliver, push)
            await tokens.wait_for(2)
            others = [await adapter.deliver(push) for _ in range(3)]
            calls.cancel_scope.cancel()
        # Nor does the next one wait for what was cut.
        others.append(await adapter.deliver(push))

    assert all(isinstance(outcome, Succeeded) for outcome in others)
    assert len(tokens.requests) == 2


@pytest.mark.parametrize(
    ("said", "kind", "detail"),
    [
        (answer(400, {"error": "invalid_grant", "error_description": "key"}), Misconfigured, "key"),
        (answer(401, {"error": "invalid_client"}), Misconfigured, "invalid_client"),
        (answer(403, {"error": "access_denied"}), Misconfigured, "access_denied"),
        (answer(404, "no"), Misconfigured, "404"),
        (answer(301, "no"), Misconfigured, "301"),
        (answer(429, {}), Unavailable, "429"),
        (answer(500, {"error": "internal_failure"}), Unavailable, "internal_failure"),
        (answer(503, {}), Unavailable, "503"),
        (Answer(fault=Fault.CLOSE_BEFORE_ANSWER), Unavailable, "connection was lost"),
        (HANG, Unavailable, "no answer in time"),
    ],
    ids=lambda one: getattr(one, "__name__", None),
)
async def test_failed_token_call_is_our_own_fault_and_sends_nothing(
    tokens: TokenEndpoint,
    hooks: Receiver,
    push: Delivery,
    said: Answer,
    kind: type[Outcome],
    detail: str,
) -> None:
    tokens.default = said

    async with fcm(tokens, hooks, SHORT) as adapter:
        outcome = await adapter.deliver(push)

    assert type(outcome) is kind
    assert detail in (outcome.detail or "")
    assert hooks.requests == []


async def test_token_endpoint_that_is_away_makes_the_provider_unavailable(
    tokens: TokenEndpoint, hooks: Receiver, push: Delivery
) -> None:
    account = service_account("http://127.0.0.1:1/token")
    settings = {**HERE, "service_account": account, "base_url": hooks.url}

    async with make("push", "fcm", settings, LONG) as adapter:
        outcome = await adapter.deliver(push)

    assert isinstance(outcome, Unavailable)
    assert tokens.requests == []


async def test_token_call_that_fails_is_made_once_for_all_who_wait(
    tokens: TokenEndpoint, hooks: Receiver, push: Delivery
) -> None:
    tokens.default = HANG
    outcomes: list[Outcome] = []

    async def attempt(adapter: Adapter) -> None:
        outcomes.append(await adapter.deliver(push))

    async with fcm(tokens, hooks, SHORT) as adapter, anyio.create_task_group() as calls:
        for _ in range(10):
            calls.start_soon(attempt, adapter)

    assert len(tokens.requests) == 1
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 10


async def test_call_that_is_cut_while_it_asks_leaves_the_token_to_the_others(
    tokens: TokenEndpoint, hooks: Receiver, push: Delivery
) -> None:
    tokens.script("/token", HANG, 200)

    async with fcm(tokens, hooks, LONG) as adapter:
        async with anyio.create_task_group() as calls:
            calls.start_soon(adapter.deliver, push)
            await tokens.wait_for(1)
            calls.cancel_scope.cancel()
        outcome = await adapter.deliver(push)

    assert isinstance(outcome, Succeeded)


async def test_token_that_worked_and_is_refused_is_dropped_and_the_message_tried_again(
    tokens: TokenEndpoint, hooks: Receiver, push: Delivery
) -> None:
    hooks.script(SEND, 200, UNAUTHENTICATED, 200)

    async with fcm(tokens, hooks, LONG) as adapter:
        outcomes = [await adapter.deliver(push) for _ in range(3)]

    assert [type(outcome) for outcome in outcomes] == [Succeeded, Temporary, Succeeded]
    used = [request.headers["Authorization"] for request in hooks.requests]
    assert used == ["Bearer token-1", "Bearer token-1", "Bearer token-2"]


async def test_token_that_never_worked_is_our_own_fault(
    tokens: TokenEndpoint, hooks: Receiver, push: Delivery
) -> None:
    hooks.default = UNAUTHENTICATED

    async with fcm(tokens, hooks, LONG) as adapter:
        outcomes = [await adapter.deliver(push) for _ in range(2)]

    assert [type(outcome) for outcome in outcomes] == [Misconfigured, Misconfigured]
    assert len(tokens.requests) == 2


async def test_credentials_of_apple_that_are_refused_leave_the_token_alone(
    tokens: TokenEndpoint, hooks: Receiver, push: Delivery
) -> None:
    details = [{"errorCode": "THIRD_PARTY_AUTH_ERROR"}]
    hooks.default = answer(401, {"error": {"status": "UNAUTHENTICATED", "details": details}})

    async with fcm(tokens, hooks, LONG) as adapter:
        await adapter.deliver(push)
        await adapter.deliver(push)

    assert len(tokens.requests) == 1
