"""The promises of the Apprise adapter, through its plug-in for plain JSON."""

from collections.abc import AsyncIterator, Mapping
from typing import ClassVar

import pytest
from yarl import URL

from chimewayd.models import Succeeded, Temporary, Throttled, Uncertain
from chimewayd.testing import CANARY, Promise, Provider, ProviderPromises
from chimewayd.testing.http_provider import HttpProvider
from chimewayd.testing.receiver import Answer, Fault, receiver

# Apprise loads all its plug-ins at once, and with them libraries that are behind the times.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class TestApprise(ProviderPromises):
    kind = "apprise"
    answers = (
        (200, Succeeded),
        (301, Temporary),
        (410, Temporary),
        (429, Throttled),
        (503, Temporary),
        (Answer(fault=Fault.CLOSE_BEFORE_ANSWER), Uncertain),
    )
    cannot: ClassVar[Mapping[Promise, str]] = {
        Promise.SAME_KEY: "Apprise has no place for a key",
        Promise.NOTHING_LEFT: "a thread cannot be ended; it ends a second after the deadline",
    }

    @pytest.fixture
    async def provider(self) -> AsyncIterator[Provider]:
        async with receiver() as hooks:
            host = URL(hooks.url).authority
            yield HttpProvider(
                hooks,
                settings={"url": f"json://ada:{CANARY}@{host}/to/{{recipient}}"},
                recipient="ada",
                key_of=lambda request: request.path,
            )
