"""What the adapters of chat and text services write, and what of an answer they keep."""

import base64
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest

from chimewayd.adapters import make
from chimewayd.adapters.http_outcome import LONGEST_RETRY_AFTER
from chimewayd.adapters.messaging import seconds
from chimewayd.models import Bounced, Delivery, Outcome, Succeeded, Throttled, Unavailable
from chimewayd.testing.receiver import HERE, Answer, Receiver, receiver

pytestmark = pytest.mark.anyio

LONG = timedelta(seconds=10)
SID = "AC" + "0" * 32
TWILIO = {"account_sid": SID, "auth_token": "t0ken-of-twilio", "sender": "+15005550006"}
BOTS: Mapping[str, Mapping[str, str]] = {
    "slack": {"token": "xoxb-t0ken"},
    "teams": {},
    "discord": {"token": "t0ken-of-a-bot"},
    "telegram": {"token": "123456:t0ken-of-a-bot"},
    "twilio": TWILIO,
}


async def attempt(
    delivery: Delivery, hooks: Receiver, kind: str, recipient: str, payload: object
) -> Outcome:
    where = {} if kind == "teams" else {"base_url": hooks.url + "/api"}
    async with make("chat", kind, {**HERE, **BOTS[kind], **where}, LONG) as adapter:
        return await adapter.deliver(
            delivery._replace(recipient=recipient, payload_json=json.dumps(payload))
        )


def answer(document: object, status: int = 200, **headers: str) -> Answer:
    return Answer(status=status, body=json.dumps(document).encode(), headers=headers)


@pytest.mark.parametrize(
    ("kind", "recipient", "path", "login", "body"),
    [
        (
            "slack",
            "C012",
            "/api/chat.postMessage",
            "Bearer xoxb-t0ken",
            {"text": "Hello", "channel": "C012"},
        ),
        (
            "telegram",
            "-100123",
            "/api/bot123456:t0ken-of-a-bot/sendMessage",
            None,
            {"text": "Hello", "chat_id": "-100123"},
        ),
        (
            "discord",
            "112233",
            "/api/channels/112233/messages",
            "Bot t0ken-of-a-bot",
            {
                "allowed_mentions": {"parse": []},
                "content": "Hello",
                "nonce": "",  # the delivery's own, looked at apart
                "enforce_nonce": True,
            },
        ),
    ],
)
async def test_bot_writes_to_the_recipient_in_the_providers_form(
    delivery: Delivery,
    kind: str,
    recipient: str,
    path: str,
    login: str | None,
    body: dict[str, Any],
) -> None:
    async with receiver() as hooks:
        outcome = await attempt(delivery, hooks, kind, recipient, {"text": "Hello"})

    assert isinstance(outcome, Succeeded)
    assert outcome.response is None  # it would be the message again, and readers may not see that
    (request,) = hooks.requests
    sent = json.loads(request.body)
    if kind == "discord":
        assert 0 < len(sent["nonce"]) <= 25
        body["nonce"] = sent["nonce"]
    assert (request.method, request.path) == ("POST", path)
    assert request.headers.get("Authorization") == login
    assert request.headers["Content-Type"].startswith("application/json")
    assert sent == body


async def test_text_to_a_phone_is_a_form_with_the_sender(delivery: Delivery) -> None:
    payload = {"text": "Hello & welcome", "media_urls": ["https://example.org/a.png"]}

    async with receiver() as hooks:
        outcome = await attempt(delivery, hooks, "twilio", "+4915123456789", payload)

    assert isinstance(outcome, Succeeded)
    (request,) = hooks.requests
    assert request.path == f"/api/2010-04-01/Accounts/{SID}/Messages.json"
    assert request.headers["Authorization"].startswith("Basic ")
    assert parse_qs(request.body.decode()) == {
        "From": ["+15005550006"],
        "To": ["+4915123456789"],
        "Body": ["Hello & welcome"],
        "MediaUrl": ["https://example.org/a.png"],
    }


async def test_text_to_teams_becomes_a_card(delivery: Delivery) -> None:
    async with receiver() as hooks:
        await attempt(delivery, hooks, "teams", hooks.url + "/flow?sig=abc", {"text": "Hello"})

    (request,) = hooks.requests
    (attachment,) = json.loads(request.body)["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert attachment["content"]["body"][0]["text"] == "Hello"


@pytest.mark.parametrize("kind", ["slack", "discord"])
async def test_bots_token_is_not_for_whoever_the_recipients_address_belongs_to(
    delivery: Delivery, kind: str
) -> None:
    async with receiver() as hooks:
        await attempt(delivery, hooks, kind, hooks.url + "/hook", {"text": "Hello"})

    (request,) = hooks.requests
    assert "Authorization" not in request.headers
    assert b"t0ken" not in request.body


@pytest.mark.parametrize(
    ("kind", "recipient", "said", "kept"),
    [
        ("slack", "C1", {"ok": True, "ts": "1700000000.000100"}, "1700000000.000100"),
        ("telegram", "1", {"ok": True, "result": {"message_id": 42}}, "42"),
        ("discord", "1", {"id": "1122334455"}, "1122334455"),
        ("twilio", "+491511234567", {"sid": "SM123"}, "SM123"),
        ("twilio", "+491511234567", {"sid": "x" * 9000}, "x" * 255),
    ],
)
async def test_providers_id_of_the_message_is_kept(
    delivery: Delivery, kind: str, recipient: str, said: object, kept: str
) -> None:
    async with receiver() as hooks:
        hooks.default = answer(said)
        outcome = await attempt(delivery, hooks, kind, recipient, {"text": "Hello"})

    assert isinstance(outcome, Succeeded)
    assert outcome.provider_message_id == kept


@pytest.mark.parametrize(
    ("kind", "recipient", "said", "wait"),
    [
        ("slack", "C1", answer({"ok": False}, 429, **{"Retry-After": "30"}), 30),
        ("telegram", "1", answer({"ok": False, "parameters": {"retry_after": 5}}, 429), 5),
        ("discord", "1", answer({"retry_after": 0.5}, 429, **{"Retry-After": "1"}), 0.5),
        ("discord", "1", answer({}, 429, **{"Retry-After": "65"}), 65),
        ("twilio", "+491511234567", answer({}, 429, **{"Retry-After": "2"}), 2),
    ],
)
async def test_wait_is_read_where_the_provider_writes_it(
    delivery: Delivery, kind: str, recipient: str, said: Answer, wait: float
) -> None:
    async with receiver() as hooks:
        hooks.default = said
        outcome = await attempt(delivery, hooks, kind, recipient, {"text": "Hello"})

    assert isinstance(outcome, Throttled)
    assert outcome.retry_after == timedelta(seconds=wait)


@pytest.mark.parametrize(
    ("number", "wait"),
    [
        (1.5, timedelta(seconds=1.5)),
        (0, timedelta()),
        (-1, None),
        (True, None),
        ("5", None),
        (None, None),
        (1e300, LONGEST_RETRY_AFTER),
        (float("inf"), LONGEST_RETRY_AFTER),
    ],
)
def test_seconds_are_read_as_far_as_they_are_well_said(
    number: object, wait: timedelta | None
) -> None:
    assert seconds({"a": {"b": number}}, "a", "b") == wait
    assert seconds(["a"], "a", "b") is None


async def test_reason_and_new_address_stand_in_the_detail(delivery: Delivery) -> None:
    said = {
        "description": "Bad Request: group chat was upgraded to a supergroup chat",
        "parameters": {"migrate_to_chat_id": -1001},
    }
    async with receiver() as hooks:
        hooks.default = answer(said, 400)
        outcome = await attempt(delivery, hooks, "telegram", "-5", {"text": "Hello"})

    assert isinstance(outcome, Bounced)
    assert outcome.detail == (
        "HTTP 400 Bad Request: group chat was upgraded to a supergroup chat: the chat is now -1001"
    )


@pytest.mark.parametrize("body", [b'""', b'" "', b'"ok"', b""])
async def test_answer_of_no_words_is_judged_by_its_status(delivery: Delivery, body: bytes) -> None:
    async with receiver() as hooks:
        hooks.default = Answer(body=body)
        outcome = await attempt(delivery, hooks, "slack", hooks.url, {"text": "Hello"})

    assert isinstance(outcome, Succeeded)


async def test_password_of_a_gateway_is_in_no_outcome(delivery: Delivery) -> None:
    said = base64.b64encode(b"ada:c4nary-w0rd").decode()
    message = delivery._replace(recipient="1", payload_json='{"text": "Hello"}')
    async with receiver() as hooks:
        hooks.default = Answer(status=502, body=f"no: Basic {said}, c4nary-w0rd".encode())
        gateway = hooks.url.replace("://", "://ada:c4nary-w0rd@")
        settings = {**HERE, **BOTS["telegram"], "base_url": gateway}
        async with make("chat", "telegram", settings, LONG) as adapter:
            refused = await adapter.deliver(message)
    async with make("chat", "telegram", settings, LONG) as adapter:
        away = await adapter.deliver(message)

    (request,) = hooks.requests
    assert request.headers["Authorization"] == f"Basic {said}"
    assert refused.response == "no: Basic [redacted], [redacted]"
    assert isinstance(away, Unavailable)
    assert "c4nary" not in f"{refused} {away}"
