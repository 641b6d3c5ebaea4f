"""The promises of the webhook adapter."""

from collections.abc import AsyncIterator

import pytest

from chimewayd.models import Permanent, Succeeded, Temporary, Throttled, Uncertain, Unsubscribed
from chimewayd.testing import CANARY, Provider, ProviderPromises
from chimewayd.testing.http_provider import HttpProvider
from chimewayd.testing.receiver import HERE, Answer, Fault, receiver


class TestWebhook(ProviderPromises):
    kind = "webhook"
    answers = (
        (200, Succeeded),
        (204, Succeeded),
        (301, Permanent),
        (404, Temporary),
        (410, Unsubscribed),
        (429, Throttled),
        (500, Temporary),
        (503, Temporary),
        (Answer(fault=Fault.CLOSE_BEFORE_ANSWER), Uncertain),
    )

    @pytest.fixture
    async def provider(self) -> AsyncIterator[Provider]:
        async with receiver() as hooks:
            yield HttpProvider(
                hooks,
                settings={**HERE, "headers": {"Authorization": f"Bearer {CANARY}"}},
                recipient=f"{hooks.url}/?token={CANARY}",
                key_of=lambda request: request.headers["webhook-id"],
            )
