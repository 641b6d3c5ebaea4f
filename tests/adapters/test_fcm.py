"""FCM: what is sent, what a quota and a late token cost, and which settings are refused."""

import json
from collections.abc import Mapping
from datetime import timedelta

import anyio
import pytest
from google_stand_in import TokenEndpoint, answer, fcm, service_account

from chimewayd.adapters import make
from chimewayd.adapters.base import Reachable
from chimewayd.adapters.fcm import FcmAdapter
from chimewayd.errors import ConfigError
from chimewayd.models import (
    Delivery,
    Permanent,
    Succeeded,
    Throttled,
    TimedOut,
)
from chimewayd.testing.receiver import Answer, Fault, Receiver

pytestmark = pytest.mark.anyio

LONG = timedelta(seconds=10)
SHORT = timedelta(milliseconds=600)
HANG = Answer(fault=Fault.HANG_BEFORE_ANSWER)
SEND = "/v1/projects/shop-1/messages:send"
UNAUTHENTICATED = Answer(status=401, body=b'{"error": {"status": "UNAUTHENTICATED"}}')


async def test_text_becomes_a_notification_that_a_repeat_replaces(
    tokens: TokenEndpoint, hooks: Receiver, push: Delivery
) -> None:
    hooks.default = Answer(body=b'{"name": "projects/shop-1/messages/0:15"}')

    async with fcm(tokens, hooks, LONG) as adapter:
        outcome = await adapter.deliver(push._replace(payload_json='{"text": "Hi", "title": "T"}'))

    assert isinstance(outcome, Succeeded)
    assert outcome.provider_message_id == "0:15"
    (request,) = hooks.requests
    key = str(push.delivery_id)
    assert (request.path, request.headers["Authorization"]) == (SEND, "Bearer token-1")
    assert json.loads(request.body) == {
        "message": {
            "token": "app-1:t0k",
            "notification": {"body": "Hi", "title": "T"},
            "android": {"notification": {"tag": key}},
            "apns": {"headers": {"apns-collapse-id": key}},
        }
    }
    assert tokens.claims[0]["scope"] == "https://www.googleapis.com/auth/firebase.messaging"


async def test_message_object_goes_as_it_is_and_a_topic_is_a_recipient(
    tokens: TokenEndpoint, hooks: Receiver, push: Delivery
) -> None:
    payload = {"data": {"order": "42"}, "android": {"priority": "HIGH"}}

    async with fcm(tokens, hooks, LONG) as adapter:
        await adapter.deliver(
            push._replace(recipient="/topics/news", payload_json=json.dumps(payload))
        )

    assert json.loads(hooks.requests[0].body) == {"message": payload | {"topic": "news"}}


@pytest.mark.parametrize(
    ("recipient", "payload"),
    [
        ("app-1:t0k", {"text": ""}),
        ("app-1:t0k", {"text": "x" * 4097}),
        ("app-1:t0k", {"text": "Hi", "topic": "everybody"}),
        ("app-1:t0k", {"text": "Hi", "condition": "'a' in topics"}),
        ("no token", {"text": "Hi"}),
        ("/topics/", {"text": "Hi"}),
    ],
)
async def test_what_cannot_be_sent_is_permanent_and_asks_for_no_token(
    tokens: TokenEndpoint,
    hooks: Receiver,
    push: Delivery,
    recipient: str,
    payload: Mapping[str, object],
) -> None:
    async with fcm(tokens, hooks, LONG) as adapter:
        outcome = await adapter.deliver(
            push._replace(recipient=recipient, payload_json=json.dumps(payload))
        )

    assert isinstance(outcome, Permanent)
    assert (tokens.requests, hooks.requests) == ([], [])


@pytest.mark.parametrize(
    ("headers", "seconds"), [({}, 60), ({"Retry-After": "5"}, 5), ({"Retry-After": "90"}, 90)]
)
async def test_quota_waits_as_long_as_it_says_or_a_minute(
    tokens: TokenEndpoint,
    hooks: Receiver,
    push: Delivery,
    headers: Mapping[str, str],
    seconds: int,
) -> None:
    hooks.default = Answer(status=429, headers=headers)

    async with fcm(tokens, hooks, LONG) as adapter:
        outcome = await adapter.deliver(push)

    assert isinstance(outcome, Throttled)
    assert outcome.retry_after == timedelta(seconds=seconds)


async def test_token_that_comes_late_leaves_the_rest_of_the_time_to_the_message(
    tokens: TokenEndpoint, hooks: Receiver, push: Delivery
) -> None:
    hooks.default = HANG

    async with fcm(tokens, hooks, SHORT) as adapter:
        with anyio.fail_after(5):
            outcome = await adapter.deliver(push)

    assert isinstance(outcome, TimedOut)
    assert outcome.request_sent


async def test_doctor_asks_for_a_token_and_sends_nothing(
    tokens: TokenEndpoint, hooks: Receiver
) -> None:
    async with fcm(tokens, hooks, LONG) as adapter:
        assert isinstance(adapter, Reachable)
        well = await adapter.reach([])
        assert isinstance(adapter, FcmAdapter)
        adapter._tokens._token = None
        tokens.default = answer(400, {"error": "invalid_grant"})
        wrong = await adapter.reach([])

    assert [one.problem for one in well] == [None, None]
    assert "invalid_grant" in (wrong[0].problem or "")
    assert {request.method for request in hooks.requests} == {"HEAD"}


KEY = {"service_account": service_account("http://127.0.0.1:1/token")}
BAD = "c4nary"


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({}, "service_account"),
        ({"service_account": BAD}, "service_account"),
        ({"service_account": "[]"}, "service_account"),
        ({"service_account": {"type": BAD}}, "service_account"),
        ({"service_account": service_account(BAD)}, "service_account"),
        ({"service_account": service_account("http://a/", private_key=BAD)}, "service_account"),
        ({**KEY, "project_id": f"{BAD}/{BAD}"}, "project_id"),
        ({**KEY, "base_url": BAD}, "base_url"),
    ],
    ids=lambda one: one if isinstance(one, str) else None,
)
def test_wrong_setting_is_named_without_its_value(
    settings: Mapping[str, object], named: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        make("push", "fcm", settings, LONG)

    assert caught.value.setting == f"channels.push.settings.{named}"
    assert caught.value.allowed
    assert "c4nary" not in str(caught.value)


def test_key_may_be_a_table_as_an_environment_gives_it() -> None:
    table = json.loads(KEY["service_account"])

    assert isinstance(make("push", "fcm", {"service_account": table}, LONG), FcmAdapter)
