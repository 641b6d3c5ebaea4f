"""The promises of the smtp adapter."""

from collections.abc import AsyncIterator

import pytest
from relay import Fault, Offers, Relay, Verb, relay

from chimewayd.models import (
    Bounced,
    Misconfigured,
    Permanent,
    Succeeded,
    Temporary,
    Throttled,
    Unavailable,
    Uncertain,
)
from chimewayd.testing import CANARY, Provider, ProviderPromises

ACCEPTED = (Verb.DOT, "250 2.0.0 Ok: queued as 4cLqW81")
LONGEST_REPLY = 8000
"""Characters in a line: of a longer one the client keeps nothing (test_smtp_faults.py)."""


class RelayProvider(Provider):
    """A relay that wants a password; an answer is a verb and what it is answered."""

    recipient = "ada@example.org"

    def __init__(self, smarthost: Relay) -> None:
        self._relay = smarthost
        self._mails_before = 0
        self.settings = {
            "host": "127.0.0.1",
            "port": smarthost.port,
            "tls": "none",
            "username": "shop",
            "password": CANARY,
            "from": "Shop <shop@example.org>",
        }

    def answer(self, answer: tuple[Verb, str | Fault]) -> None:
        self._relay.script(Verb.DOT)
        self._relay.script(*answer)

    def say(self, text: str) -> None:
        self._relay.script(Verb.DOT, f"451 {text[:LONGEST_REPLY]}")

    def hang(self) -> None:
        self._mails_before = len(self._relay.mails)
        self._relay.script(Verb.DOT, Fault.HANG)

    async def called(self) -> None:
        await self._relay.wait_for_command(Verb.DOT, self._mails_before + 1)

    async def left_alone(self) -> None:
        await self._relay.wait_until_disconnected()

    def keys(self) -> list[str]:
        return [mail.message["Message-ID"] for mail in self._relay.mails]


class TestSmtp(ProviderPromises):
    kind = "smtp"
    answers = (
        (ACCEPTED, Succeeded),
        ((Verb.DOT, "421 4.3.2 closing"), Throttled),
        ((Verb.DOT, "451 4.3.0 try later"), Temporary),
        ((Verb.DOT, "554 5.7.1 looks like spam"), Permanent),
        ((Verb.DOT, Fault.HANG_UP), Uncertain),
        ((Verb.RCPT, "550 5.1.1 no such user"), Bounced),
        ((Verb.RCPT, "554 5.7.1 Relay access denied"), Misconfigured),
        ((Verb.RCPT, Fault.HANG_UP), Temporary),
        ((Verb.GREETING, Fault.HANG_UP), Unavailable),
        ((Verb.AUTH, "535 5.7.8 wrong password"), Misconfigured),
    )

    @pytest.fixture
    async def provider(self) -> AsyncIterator[Provider]:
        async with relay(Offers(logins={"shop": CANARY})) as smarthost:
            yield RelayProvider(smarthost)
