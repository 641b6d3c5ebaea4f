"""The promises of the web push adapter."""

import base64
import json
from collections.abc import AsyncIterator

import pytest

from chimewayd.models import (
    Bounced,
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

PUBLIC = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"


class TestWebpush(ProviderPromises):
    kind = "webpush"
    answers = (
        (201, Succeeded),
        (202, Succeeded),
        (400, Permanent),
        (403, Bounced),
        (404, Unsubscribed),
        (410, Unsubscribed),
        (413, Permanent),
        (429, Throttled),
        (503, Temporary),
        (Answer(fault=Fault.CLOSE_BEFORE_ANSWER), Uncertain),
    )

    @pytest.fixture
    async def provider(self) -> AsyncIterator[Provider]:
        keys = {"p256dh": PUBLIC, "auth": "BTBZMqHH6r4Tts7J_aSIgg"}
        settings = {
            "private_key": base64.urlsafe_b64encode(bytes(range(1, 33))).decode(),
            "subject": "mailto:ops@example.org",
        }
        async with receiver() as hooks:
            yield HttpProvider(
                hooks,
                {**HERE, **settings},
                json.dumps({"endpoint": f"{hooks.url}/push/{CANARY}", "keys": keys}),
                lambda request: request.headers["Idempotency-Key"],
            )
