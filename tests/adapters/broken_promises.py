"""An adapter that keeps its promises, and others that each break one: the suite must tell.

Not collected with the other tests; test_suite_of_promises.py runs it as a suite of its own.
"""

import asyncio
import logging
import os
import threading
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import ClassVar, Self

import aiohttp
import orjson
import pytest
from pydantic import SecretStr

from chimewayd.adapters.base import Adapter, AdapterSettings, HoldsNothing
from chimewayd.adapters.evidence import READ_LIMIT_BYTES, clean
from chimewayd.models import Delivery, Outcome, Permanent, Succeeded, Temporary, TimedOut
from chimewayd.testing import CANARY, Provider, ProviderPromises, Target, promises
from chimewayd.testing.http_provider import HttpProvider
from chimewayd.testing.receiver import receiver

promises.GRACE_SECONDS = 2

log = logging.getLogger("broken")


class BrokenSettings(AdapterSettings):
    token: SecretStr


class Honest(HoldsNothing):
    Settings: ClassVar[type[AdapterSettings]] = BrokenSettings

    def __init__(self, settings: BrokenSettings, timeout: timedelta) -> None:
        self.token = settings.token.get_secret_value()
        self.timeout = aiohttp.ClientTimeout(total=timeout.total_seconds())

    async def deliver(self, delivery: Delivery) -> Outcome:
        try:
            return await self.post(delivery)
        except TimeoutError:
            return TimedOut()
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Temporary(detail=type(error).__name__)

    async def post(self, delivery: Delivery) -> Outcome:
        headers = {"Authorization": self.token, "Key": self.key(delivery)}
        async with (
            aiohttp.ClientSession(timeout=self.timeout) as session,
            session.post(delivery.recipient, data=delivery.payload_json, headers=headers) as answer,
        ):
            return self.judge(answer.status, await answer.content.read(READ_LIMIT_BYTES))

    def key(self, delivery: Delivery) -> str:
        return str(delivery.delivery_id)

    def judge(self, status: int, said: bytes) -> Outcome:
        kind = Succeeded if status < 300 else Permanent if status < 500 else Temporary
        return kind(status_code=status, response=self.excerpt(said))

    def excerpt(self, said: bytes) -> str | None:
        return clean(said, [self.token])


class Forgetful(Honest):
    def key(self, delivery: Delivery) -> str:
        return f"{delivery.delivery_id}-{delivery.attempt_number}"


class Eager(Honest):
    async def deliver(self, delivery: Delivery) -> Outcome:
        await super().deliver(delivery)
        return await super().deliver(delivery)


class Patient(Honest):
    def __init__(self, settings: BrokenSettings, timeout: timedelta) -> None:
        super().__init__(settings, timeout * 100)


class Optimist(Honest):
    def judge(self, status: int, said: bytes) -> Outcome:
        return Succeeded(status_code=status, response=self.excerpt(said))


class Talkative(Honest):
    def excerpt(self, said: bytes) -> str | None:
        return clean(said)


class Endless(Honest):
    def excerpt(self, said: bytes) -> str | None:
        return clean(said, [self.token], limit_bytes=1_000_000)


class Logging(Honest):
    def key(self, delivery: Delivery) -> str:
        log.debug("posting to %s", delivery.recipient)
        return super().key(delivery)


class Raising(Honest):
    async def post(self, delivery: Delivery) -> Outcome:
        orjson.loads(delivery.payload_json)["subject"]
        return await super().post(delivery)


class LeavesConnection(Honest):
    async def __aenter__(self) -> Self:
        self.tasks: set[asyncio.Task[Outcome]] = set()
        return self

    async def deliver(self, delivery: Delivery) -> Outcome:
        self.tasks.add(task := asyncio.create_task(super().deliver(delivery)))
        return await asyncio.shield(task)


class LeavesThread(Honest):
    async def post(self, delivery: Delivery) -> Outcome:
        threading.Thread(target=threading.Event().wait, args=[10], daemon=True).start()
        return await super().post(delivery)


class LeavesProcess(Honest):
    async def post(self, delivery: Delivery) -> Outcome:
        os.posix_spawn("/bin/sleep", ["sleep", "10"], os.environ)  # noqa: ASYNC221 - it does not wait
        return await super().post(delivery)


class BrokenPromises(ProviderPromises):
    answers = ((200, Succeeded), (404, Permanent), (503, Temporary))
    made: ClassVar[type[Adapter]]

    def adapter(self, target: Target, timeout: timedelta = promises.LONG) -> Adapter:
        return self.made(BrokenSettings.model_validate(target.settings), timeout)

    @pytest.fixture
    async def provider(self) -> AsyncIterator[Provider]:
        async with receiver() as hooks:
            yield HttpProvider(
                hooks,
                settings={"token": CANARY},
                recipient=f"{hooks.url}/?token={CANARY}",
                key_of=lambda request: request.headers["Key"],
            )


adapters: list[type[Honest]] = [Honest, *Honest.__subclasses__()]
for made in adapters:
    members = {"kind": made.__name__, "made": made}
    globals()[f"Test{made.__name__}"] = type(f"Test{made.__name__}", (BrokenPromises,), members)
