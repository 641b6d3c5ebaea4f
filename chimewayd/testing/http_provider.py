"""The provider of an adapter that makes HTTP requests, for the suite of promises.

    class TestSlack(ProviderPromises):
        kind = "slack"
        answers = ((200, Succeeded), (404, Permanent))

        @pytest.fixture
        async def provider(self) -> AsyncIterator[Provider]:
            async with receiver() as hooks:
                yield HttpProvider(hooks, {…settings…}, recipient, key_of)

An answer is a status, or an `Answer` of the receiver where the body decides.
"""

from collections.abc import Callable, Mapping

from chimewayd.testing.provider import Provider
from chimewayd.testing.receiver import Answer, Fault, Received, Receiver


class HttpProvider(Provider):
    """Answers on every path alike; `key_of` finds the idempotency key in a request."""

    def __init__(
        self,
        hooks: Receiver,
        settings: Mapping[str, object],
        recipient: str,
        key_of: Callable[[Received], str],
        payload_json: str = Provider.payload_json,
    ) -> None:
        self.settings = settings
        self.recipient = recipient
        self.payload_json = payload_json
        self._hooks = hooks
        self._key_of = key_of
        self._before_hanging = 0

    def answer(self, answer: Answer | int) -> None:
        self._hooks.default = Answer(status=answer) if isinstance(answer, int) else answer

    def say(self, text: str) -> None:
        self.answer(Answer(status=500, body=text.encode()))

    def hang(self) -> None:
        self._before_hanging = len(self._hooks.requests)
        self.answer(Answer(fault=Fault.HANG_BEFORE_ANSWER))

    async def called(self) -> None:
        await self._hooks.wait_for(self._before_hanging + 1)

    async def left_alone(self) -> None:
        await self._hooks.wait_until_disconnected()

    def keys(self) -> list[str]:
        return [self._key_of(request) for request in self._hooks.requests]
