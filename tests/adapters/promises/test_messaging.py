"""The promises of the adapters of chat and text services, against what each provider documents."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from chimewayd.models import (
    Bounced,
    Misconfigured,
    Permanent,
    Succeeded,
    Temporary,
    Throttled,
    Uncertain,
)
from chimewayd.testing import CANARY, Provider, ProviderPromises
from chimewayd.testing.http_provider import HttpProvider
from chimewayd.testing.receiver import HERE, Answer, Fault, Received, Receiver, receiver

PAYLOAD = '{"text": "Hello"}'
LOST = (Answer(fault=Fault.CLOSE_BEFORE_ANSWER), Uncertain)


def said(status: int, document: object, **headers: str) -> Answer:
    body = document if isinstance(document, str) else json.dumps(document)
    return Answer(status=status, body=body.encode(), headers=headers)


def key_of(request: Received) -> str:
    return request.headers["Idempotency-Key"]


def provider_of(hooks: Receiver, recipient: str, settings: Mapping[str, Any]) -> Provider:
    return HttpProvider(hooks, {**HERE, **settings}, recipient, key_of, PAYLOAD)


class TestSlackWebhook(ProviderPromises):
    kind = "slack"
    answers = (
        (said(200, "ok"), Succeeded),
        (said(400, "invalid_payload"), Permanent),
        (said(400, "user_not_found"), Bounced),
        (said(403, "action_prohibited"), Permanent),
        (said(403, "invalid_token"), Bounced),
        (said(403, "invalid_auth"), Bounced),
        (said(404, "channel_not_found"), Bounced),
        (said(404, "no_service"), Bounced),
        (said(410, "channel_is_archived"), Bounced),
        (said(429, "rate_limited", **{"Retry-After": "30"}), Throttled),
        (said(500, "rollup_error"), Temporary),
        LOST,
    )

    @pytest.fixture
    async def provider(self) -> AsyncIterator[Provider]:
        async with receiver() as hooks:
            yield provider_of(hooks, f"{hooks.url}/services/T0/B0/{CANARY}", {})


class TestSlackBot(ProviderPromises):
    kind = "slack"
    answers = (
        (said(200, {"ok": True, "channel": "C1", "ts": "1700000000.000100"}), Succeeded),
        (said(200, {"ok": False, "error": "channel_not_found"}), Bounced),
        (said(200, {"ok": False, "error": "is_archived"}), Bounced),
        (said(200, {"ok": False, "error": "invalid_auth"}), Misconfigured),
        (said(200, {"ok": False, "error": "token_revoked"}), Misconfigured),
        (said(200, {"ok": False, "error": "missing_scope"}), Misconfigured),
        (said(200, {"ok": False, "error": "msg_too_long"}), Permanent),
        (said(200, {"ok": False, "error": "not_in_channel"}), Permanent),
        (said(200, {"ok": False, "error": "fatal_error"}), Uncertain),
        (said(200, {"ok": False, "error": "service_unavailable"}), Temporary),
        (said(200, {"ok": False, "error": "nobody_listed_this"}), Temporary),
        (
            said(429, {"ok": False, "error": "ratelimited"}, **{"Retry-After": "30"}),
            Throttled,
        ),
        (said(503, ""), Temporary),
        LOST,
    )

    @pytest.fixture
    async def provider(self) -> AsyncIterator[Provider]:
        async with receiver() as hooks:
            settings = {"token": CANARY, "base_url": f"{hooks.url}/api/"}
            yield provider_of(hooks, "C0123456789", settings)


class TestTeams(ProviderPromises):
    kind = "teams"
    answers = (
        (said(202, ""), Succeeded),
        (said(200, "1"), Succeeded),
        (said(400, {"error": {"code": "TriggerInputSchemaMismatch", "message": "no"}}), Permanent),
        (said(400, {"error": {"code": "WorkflowTriggerIsNotEnabled", "message": "off"}}), Bounced),
        (said(401, {"error": {"code": "DirectApiAuthorizationRequired"}}), Bounced),
        (said(404, {"error": {"code": "WorkflowNotFound", "message": "gone"}}), Bounced),
        (said(413, ""), Permanent),
        (said(429, "", **{"Retry-After": "30"}), Throttled),
        (said(200, "delivery failed: Microsoft Teams endpoint returned HTTP error 429"), Throttled),
        (said(200, "delivery failed: Microsoft Teams endpoint returned HTTP error 404"), Bounced),
        (said(200, "delivery failed: Microsoft Teams endpoint returned HTTP error 410"), Bounced),
        (said(200, "delivery failed: Microsoft Teams endpoint returned HTTP error 500"), Temporary),
        (said(200, "delivery failed: Microsoft Teams endpoint returned HTTP error 599"), Temporary),
        (said(502, ""), Temporary),
        LOST,
    )

    @pytest.fixture
    async def provider(self) -> AsyncIterator[Provider]:
        async with receiver() as hooks:
            yield provider_of(hooks, f"{hooks.url}/workflows/a/run?sig={CANARY}", {})


class TestDiscordWebhook(ProviderPromises):
    kind = "discord"
    answers = (
        (said(200, {"id": "1122334455"}), Succeeded),
        (said(204, ""), Succeeded),
        (said(400, {"code": 50006, "message": "Cannot send an empty message"}), Permanent),
        (said(401, {"code": 50027, "message": "Invalid Webhook Token"}), Bounced),
        (said(401, {"code": 0, "message": "401: Unauthorized"}), Bounced),
        (said(404, {"code": 10015, "message": "Unknown Webhook"}), Bounced),
        (said(429, {"message": "slow", "retry_after": 0.5, "global": False}), Throttled),
        (said(500, ""), Temporary),
        LOST,
    )

    @pytest.fixture
    async def provider(self) -> AsyncIterator[Provider]:
        async with receiver() as hooks:
            yield provider_of(hooks, f"{hooks.url}/api/webhooks/1/{CANARY}", {})


class TestDiscordBot(ProviderPromises):
    kind = "discord"
    answers = (
        (said(200, {"id": "1122334455"}), Succeeded),
        (said(400, {"code": 50035, "message": "Invalid Form Body"}), Permanent),
        (said(401, {"code": 0, "message": "401: Unauthorized"}), Misconfigured),
        (said(403, {"code": 50001, "message": "Missing Access"}), Bounced),
        (said(403, {"code": 50007, "message": "Cannot send messages to this user"}), Bounced),
        (said(403, {"code": 50013, "message": "Missing Permissions"}), Permanent),
        (said(404, {"code": 10003, "message": "Unknown Channel"}), Bounced),
        (said(429, {"message": "slow", "retry_after": 64.57, "global": True}), Throttled),
        (said(503, {"code": 130000, "message": "overloaded"}), Temporary),
        LOST,
    )

    @pytest.fixture
    async def provider(self) -> AsyncIterator[Provider]:
        async with receiver() as hooks:
            settings = {"token": CANARY, "base_url": f"{hooks.url}/api/v10"}
            yield provider_of(hooks, "112233445566778899", settings)


def refused(status: int, description: str, **parameters: int) -> Answer:
    document = {"ok": False, "error_code": status, "description": description}
    return said(status, document | ({"parameters": parameters} if parameters else {}))


class TestTelegram(ProviderPromises):
    kind = "telegram"
    answers = (
        (said(200, {"ok": True, "result": {"message_id": 42}}), Succeeded),
        (refused(400, "Bad Request: chat not found"), Bounced),
        (refused(400, "Bad Request: message is too long"), Permanent),
        (refused(400, "Bad Request: can't parse entities: byte 7"), Permanent),
        (
            refused(
                400,
                "Bad Request: group chat was upgraded to a supergroup chat",
                migrate_to_chat_id=-1001,
            ),
            Bounced,
        ),
        (refused(401, "Unauthorized"), Misconfigured),
        (refused(403, "Forbidden: bot was blocked by the user"), Bounced),
        (refused(403, "Forbidden: user is deactivated"), Bounced),
        (refused(404, "Not Found"), Misconfigured),
        (refused(429, "Too Many Requests: retry after 5", retry_after=5), Throttled),
        (refused(500, "Internal Server Error: restart"), Temporary),
        (said(502, "<html>"), Temporary),
        LOST,
    )

    @pytest.fixture
    async def provider(self) -> AsyncIterator[Provider]:
        async with receiver() as hooks:
            settings = {"token": f"123456:{CANARY}", "base_url": hooks.url}
            yield provider_of(hooks, "-1001234567890", settings)


def code(status: int, number: int, **headers: str) -> Answer:
    document = {"code": number, "message": "no", "more_info": "https://…", "status": status}
    return said(status, document, **headers)


class TestTwilio(ProviderPromises):
    kind = "twilio"
    answers = (
        (said(201, {"sid": "SM" + "0" * 32, "status": "queued", "error_code": None}), Succeeded),
        (code(400, 21211), Bounced),
        (code(400, 21408), Permanent),
        (code(400, 21606), Misconfigured),
        (code(400, 21610), Bounced),
        (code(400, 21611), Throttled),
        (code(400, 21614), Bounced),
        (code(400, 21617), Permanent),
        (code(401, 20003), Misconfigured),
        (code(404, 20404), Misconfigured),
        (code(429, 20429, **{"Retry-After": "30"}), Throttled),
        (code(500, 20500), Temporary),
        (code(503, 20503), Temporary),
        LOST,
    )

    @pytest.fixture
    async def provider(self) -> AsyncIterator[Provider]:
        async with receiver() as hooks:
            settings = {
                "account_sid": "AC" + "0" * 32,
                "auth_token": CANARY,
                "sender": "+15005550006",
                "base_url": hooks.url,
            }
            yield provider_of(hooks, "+4915123456789", settings)
