"""The promises of an adapter that has templates before it."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from chimewayd.adapters.base import Adapter
from chimewayd.models import Permanent, Succeeded, Temporary
from chimewayd.templates.templated import Templated
from chimewayd.testing import CANARY, Provider, ProviderPromises, Target, promises
from chimewayd.testing.http_provider import HttpProvider
from chimewayd.testing.receiver import HERE, receiver

LONG_ENOUGH = timedelta(seconds=4)
"""For the process that renders to start, on a crowded machine too."""


class TestTemplatedWebhook(ProviderPromises):
    kind = "webhook"
    label = "webhook with templates"
    answers = ((200, Succeeded), (301, Permanent), (503, Temporary))

    def adapter(self, target: Target, timeout: timedelta = promises.LONG) -> Adapter:
        timeout = max(timeout, LONG_ENOUGH)
        return Templated(super().adapter(target, timeout), self.folder, timeout)

    @pytest.fixture
    async def provider(self, tmp_path: Path) -> AsyncIterator[Provider]:
        self.folder = tmp_path
        (tmp_path / "hi").mkdir()
        (tmp_path / "hi" / "payload.json.j2").write_text('{"hello": "{{ name }}"}')
        async with receiver() as hooks:
            yield HttpProvider(
                hooks,
                settings={**HERE, "headers": {"Authorization": f"Bearer {CANARY}"}},
                recipient=f"{hooks.url}/?token={CANARY}",
                key_of=lambda request: request.headers["webhook-id"],
                payload_json='{"template": "hi", "data": {"name": "Ada"}}',
            )
            for request in hooks.requests:
                if request.body.startswith(b'{"hello'):
                    assert json.loads(request.body) == {"hello": "Ada"}
