"""What the suite of promises needs to know of an adapter: its far side, in the suite's hands."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, TypeVar

from asyncpg.pgproto.pgproto import UUID

from chimewayd.models import Delivery

CANARY = "c4nary-in-the-coal-mine"
"""Stands wherever your adapter takes a secret; the suite looks where it comes up again."""

PROMISE = "promise"
"""The attribute of a test that tells what it shows."""

Test = TypeVar("Test", bound=Callable[..., Any])


class Promise(StrEnum):
    """What each adapter promises (chimewayd/adapters/base.py), as the table's columns name it."""

    OUTCOME = "outcome"
    """Each answer of the provider is the outcome that it stands for."""
    ONE_CALL = "one call"
    SAME_KEY = "same key"
    """A repeat carries the same idempotency key."""
    DEADLINE = "deadline"
    NOTHING_LEFT = "nothing left"
    """Cancelled, it leaves no socket, process, task or thread."""
    NO_SECRET = "no secret"  # noqa: S105 - the name of a promise
    """Neither in the outcome nor in the log."""
    BOUNDED = "bounded"
    RAISES_NOTHING = "raises nothing"


def shows(promise: Promise) -> Callable[[Test], Test]:
    """Mark a test of the suite with what it shows."""

    def mark(test: Test) -> Test:
        setattr(test, PROMISE, promise)
        return test

    return mark


class Target:
    """A channel of the adapter, and a delivery that it can make."""

    settings: Mapping[str, object] = {}
    """The channel's settings, as they would stand in the configuration."""
    recipient = "ada"
    payload_json = '{"subject": "Hi", "text": "Hello"}'


class Provider(Target, ABC):
    """The far side of an adapter: a local server, a command, whatever it calls.

    It accepts what comes until it is told otherwise.
    """

    @abstractmethod
    def answer(self, answer: Any) -> None:
        """Answer so from now on; `answer` is one of those in `ProviderPromises.answers`."""

    @abstractmethod
    def say(self, text: str) -> None:
        """Refuse from now on, with this text wherever a provider can say one."""

    @abstractmethod
    def hang(self) -> None:
        """Take calls from now on, whole, and never answer."""

    @abstractmethod
    async def called(self) -> None:
        """Wait until a call hangs."""

    @abstractmethod
    async def left_alone(self) -> None:
        """Wait until nothing of the adapter's is connected or running at your end."""

    @abstractmethod
    def keys(self) -> list[str]:
        """Return the idempotency key of each call so far."""


def ordinary_delivery(target: Target) -> Delivery:
    """Return an ordinary delivery to the target; `_replace` what a test is about."""
    return Delivery(
        # As the database's driver makes it, which is not the standard library's own.
        delivery_id=UUID("01890a5d-ac96-774b-bcce-b302099a8057"),
        claim_id=7,
        attempt_number=1,
        channel="promises",
        recipient=target.recipient,
        payload_json=target.payload_json,
        tenant_id=None,
        notification_key=None,
        correlation_id=None,
        idempotency_key=None,
        metadata_json="{}",
        max_attempts=5,
        attempts_before=0,
        lost_count=0,
    )
