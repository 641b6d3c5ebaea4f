"""What the adapters of chat and text services refuse: recipients, lengths, settings."""

import json
import socket
from collections.abc import Mapping
from datetime import timedelta

import pytest

from chimewayd.adapters import make
from chimewayd.errors import ConfigError
from chimewayd.models import (
    Delivery,
    Misconfigured,
    Outcome,
    Permanent,
    Succeeded,
    Temporary,
    Unavailable,
)
from chimewayd.testing.receiver import HERE, Receiver, receiver

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


DEEP = json.loads("[" * 300 + "]" * 300)
"""Nested deeper than we write JSON, and not deeper than we and Postgres read it."""


async def attempt(
    delivery: Delivery, hooks: Receiver, kind: str, recipient: str, payload: object
) -> Outcome:
    where = {} if kind == "teams" else {"base_url": hooks.url + "/api"}
    async with make("chat", kind, {**HERE, **BOTS[kind], **where}, LONG) as adapter:
        return await adapter.deliver(
            delivery._replace(recipient=recipient, payload_json=json.dumps(payload))
        )


@pytest.mark.parametrize(
    ("kind", "recipient", "payload"),
    [
        ("slack", "C1", {}),
        ("slack", "C1", {"text": " "}),
        ("slack", "C1", {"text": "x" * 40_001}),
        ("slack", "", {"text": "Hello"}),
        ("slack", "C1", {"text": "Hello", "blocks": DEEP}),
        ("slack", "https://u:p@hooks.example/", {"text": "Hello"}),
        ("teams", "C1", {"text": "Hello"}),
        ("teams", "https://hooks.example/", {"text": "x" * 28_672}),
        ("teams", "https://hooks.example/", {}),
        ("teams", "https://hooks.example/", {"attachments": DEEP}),
        ("discord", "general", {"text": "Hello"}),
        ("discord", "１２", {"text": "Hello"}),  # noqa: RUF001 - digits, and no number of ours
        ("discord", "1", {"text": "x" * 2001}),
        ("discord", "1", {"embeds": []}),
        ("discord", "1", {"embeds": DEEP}),
        ("telegram", "ada", {"text": "Hello"}),
        ("telegram", "1/../2", {"text": "Hello"}),
        ("telegram", "1", {"text": "x" * 4097}),
        ("telegram", "1", {"text": 5}),
        ("telegram", "1", {"text": "Hello", "reply_markup": DEEP}),
        ("twilio", "015123456789", {"text": "Hello"}),
        ("twilio", "+4915123456789", {"text": "x" * 1601}),
        ("twilio", "+4915123456789", {"media_urls": "https://example.org/a.png"}),
        ("twilio", "+4915123456789", []),
    ],
)
async def test_what_no_provider_would_take_is_permanent_and_not_sent(
    delivery: Delivery, kind: str, recipient: str, payload: object
) -> None:
    async with receiver() as hooks:
        outcome = await attempt(delivery, hooks, kind, recipient, payload)

    assert isinstance(outcome, Permanent)
    assert hooks.requests == []


async def test_longest_texts_are_sent(delivery: Delivery) -> None:
    async with receiver() as hooks:
        outcomes = [
            await attempt(delivery, hooks, kind, recipient, {"text": "ü" * length})
            for kind, recipient, length in (
                ("slack", "C1", 40_000),
                ("discord", "1", 2000),
                ("telegram", "1", 4096),
                ("twilio", "whatsapp:+4915123456789", 1600),
            )
        ]

    assert all(isinstance(outcome, Succeeded) for outcome in outcomes)


async def test_text_with_marks_of_a_format_is_left_to_telegram_to_count(delivery: Delivery) -> None:
    payload = {"text": "<b>x</b>" * 600, "parse_mode": "HTML"}

    async with receiver() as hooks:
        outcome = await attempt(delivery, hooks, "telegram", "1", payload)

    assert isinstance(outcome, Succeeded)


@pytest.mark.parametrize("kind", ["slack", "teams", "discord"])
async def test_recipients_address_inside_the_network_is_denied(
    delivery: Delivery, kind: str
) -> None:
    async with make("chat", kind, BOTS[kind], LONG) as adapter:
        outcome = await adapter.deliver(
            delivery._replace(
                recipient="https://169.254.169.254/x", payload_json='{"text": "Hello"}'
            )
        )

    assert isinstance(outcome, Permanent)
    assert outcome.detail is not None
    assert outcome.detail.startswith("destination_denied: ")


@pytest.mark.parametrize(
    ("kind", "settings", "named"),
    [
        ("slack", {"token": ""}, "token"),
        ("slack", {"base_url": "c4nary"}, "base_url"),
        ("teams", {"token": "c4nary"}, "token"),
        ("discord", {"token": ["c4nary"]}, "token"),
        ("discord", {"base_url": "ftp://c4nary/"}, "base_url"),
        ("telegram", {}, "token"),
        ("telegram", {"token": "c4nary"}, "token"),
        ("telegram", {"token": "123456:../c4nary"}, "token"),
        ("twilio", {**TWILIO, "account_sid": "c4nary"}, "account_sid"),
        ("twilio", {**TWILIO, "auth_token": ""}, "auth_token"),
        ("twilio", {**TWILIO, "key_sid": "c4nary"}, "key_sid"),
        ("twilio", {**TWILIO, "sender": ""}, "sender"),
        ("twilio", {"account_sid": SID, "auth_token": "c4nary"}, "sender"),
    ],
)
def test_wrong_setting_is_named_without_its_value(
    kind: str, settings: Mapping[str, object], named: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        make("chat", kind, settings, LONG)

    assert caught.value.setting == f"channels.chat.settings.{named}"
    assert caught.value.allowed
    assert "c4nary" not in str(caught.value)


async def test_provider_that_is_away_uses_no_attempt(delivery: Delivery) -> None:
    async with receiver() as hooks:
        gone = hooks.url
    settings = {**HERE, **BOTS["telegram"], "base_url": gone}

    async with make("chat", "telegram", settings, LONG) as adapter:
        outcome = await adapter.deliver(
            delivery._replace(recipient="1", payload_json='{"text": "Hello"}')
        )

    assert isinstance(outcome, Unavailable)
    assert outcome.detail is not None
    assert "t0ken" not in outcome.detail


async def test_provider_that_takes_no_connection_in_time_uses_no_attempt(
    delivery: Delivery,
) -> None:
    # It accepts, and never says a word of TLS.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = {
            **HERE,
            **BOTS["telegram"],
            "base_url": f"https://127.0.0.1:{silent.getsockname()[1]}",
            "connect_timeout": "100ms",
        }
        async with make("chat", "telegram", settings, LONG) as adapter:
            outcome = await adapter.deliver(
                delivery._replace(recipient="1", payload_json='{"text": "Hello"}')
            )

    assert isinstance(outcome, Unavailable)


async def test_recipients_own_address_that_is_away_is_temporary(delivery: Delivery) -> None:
    async with receiver() as hooks:
        gone = hooks.url

    async with make("chat", "slack", HERE, LONG) as adapter:
        outcome = await adapter.deliver(
            delivery._replace(recipient=gone, payload_json='{"text": "Hello"}')
        )

    assert isinstance(outcome, Temporary)


async def test_gateway_inside_the_network_that_nobody_allowed_is_our_own_fault(
    delivery: Delivery,
) -> None:
    settings = {**BOTS["telegram"], "base_url": "http://10.1.2.3/"}

    async with make("chat", "telegram", settings, LONG) as adapter:
        outcome = await adapter.deliver(
            delivery._replace(recipient="1", payload_json='{"text": "Hello"}')
        )

    assert isinstance(outcome, Misconfigured)


async def test_address_of_ours_that_cannot_be_called_loses_no_delivery(delivery: Delivery) -> None:
    settings = {**BOTS["telegram"], "base_url": "https://api..example/"}

    async with make("chat", "telegram", settings, LONG) as adapter:
        outcome = await adapter.deliver(
            delivery._replace(recipient="1", payload_json='{"text": "Hello"}')
        )

    assert isinstance(outcome, Misconfigured)
    assert outcome.detail == "api..example:443: the address cannot be called"
