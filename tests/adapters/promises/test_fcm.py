"""The promises of the FCM adapter, against what its provider documents."""

import json
from collections.abc import AsyncIterator

import pytest
from google_stand_in import service_account, token_endpoint

from chimewayd.models import (
    Bounced,
    Misconfigured,
    Permanent,
    Succeeded,
    Temporary,
    Throttled,
    Uncertain,
    Unsubscribed,
)
from chimewayd.testing import CANARY, Provider, ProviderPromises
from chimewayd.testing.http_provider import HttpProvider
from chimewayd.testing.receiver import HERE, Answer, Fault, receiver

ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"


def refused(status: int, google: str, fcm: str | None = None, **headers: str) -> Answer:
    details = [{"@type": ERROR, "errorCode": fcm}] if fcm else []
    error = {"code": status, "message": "no", "status": google, "details": details}
    return Answer(status=status, headers=headers, body=json.dumps({"error": error}).encode())


class TestFcm(ProviderPromises):
    kind = "fcm"
    answers = (
        (Answer(body=b'{"name": "projects/shop-1/messages/0:15%31b"}'), Succeeded),
        (refused(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT"), Permanent),
        (refused(400, "INVALID_ARGUMENT"), Permanent),
        (refused(401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"), Temporary),
        (refused(401, "UNAUTHENTICATED"), Misconfigured),
        (refused(403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH"), Bounced),
        (refused(403, "PERMISSION_DENIED"), Misconfigured),
        (refused(404, "NOT_FOUND", "UNREGISTERED"), Unsubscribed),
        (refused(404, "NOT_FOUND"), Bounced),
        (Answer(status=404, body=b"<html>no such page</html>"), Misconfigured),
        (refused(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"), Throttled),
        (Answer(status=429), Throttled),
        (refused(500, "INTERNAL", "INTERNAL"), Temporary),
        (refused(503, "UNAVAILABLE", "UNAVAILABLE", **{"Retry-After": "30"}), Temporary),
        (Answer(fault=Fault.CLOSE_BEFORE_ANSWER), Uncertain),
    )

    @pytest.fixture
    async def provider(self) -> AsyncIterator[Provider]:
        async with token_endpoint() as tokens, receiver() as hooks:
            tokens.pattern = CANARY
            account = service_account(f"{tokens.url}/token")
            yield HttpProvider(
                hooks,
                {**HERE, "service_account": account, "base_url": hooks.url},
                CANARY,
                lambda request: request.headers["Idempotency-Key"],
                '{"text": "Hello"}',
            )
