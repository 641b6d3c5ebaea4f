"""What a relay of the tests is told to answer, and what it has seen; relay.py is the server."""

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from enum import StrEnum
from typing import Protocol, TypeAlias

import anyio

WAIT_SECONDS = 10.0
SIZE_LIMIT_BYTES = 10_000_000


class Verb(StrEnum):
    """Where an answer may be scripted."""

    GREETING = "greeting"
    EHLO = "EHLO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    """Before anything of the mail is sent."""
    DOT = "."
    """After all of it."""
    RSET = "RSET"
    QUIT = "QUIT"


class Fault(StrEnum):
    """What may come instead of an answer."""

    HANG = "hang"
    HANG_UP = "hang up"


Answer: TypeAlias = str | Fault


@dataclass(frozen=True, slots=True)
class Received:
    """One mail that was accepted, or would have been."""

    sender: str
    recipient: str
    content: bytes
    mail_options: Sequence[str]
    rcpt_options: Sequence[str]
    is_encrypted: bool
    login: str | None

    @property
    def message(self) -> EmailMessage:
        """The mail, parsed."""
        message = message_from_bytes(self.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        return message


@dataclass(slots=True)
class Offers:
    """What the server can do."""

    tls: ssl.SSLContext | None = None
    is_implicit: bool = False
    logins: Mapping[str, str] = field(default_factory=dict)
    smtputf8: bool = False
    dsn: bool = False
    size_bytes: int = SIZE_LIMIT_BYTES


class Connection(Protocol):
    """One connection of the server."""

    def hang_up(self) -> None:
        """Close it at once."""


class Relay:
    """The server's script and what it has seen, in order."""

    def __init__(self, offers: Offers) -> None:
        self.offers = offers
        self.port = 0
        self.mails: list[Received] = []
        self.commands: list[str] = []
        """Verbs and what came with them, of all connections."""
        self.servers: set[Connection] = set()
        """Connections open at this moment."""
        self.connections_ever = 0
        self._scripts: dict[Verb, list[Answer]] = {}
        self._changed = anyio.Event()

    def script(self, verb: Verb, *answers: Answer) -> None:
        """Set what a verb is answered, in turn; none: what the server itself answers."""
        self._scripts[verb] = list(answers)

    def scripted(self, verb: Verb) -> Answer | None:
        """Take the next answer of a script."""
        script = self._scripts.get(verb, [])
        return script.pop(0) if len(script) > 1 else script[0] if script else None

    def verbs(self) -> list[str]:
        """Return what was said, without arguments."""
        return [command.split()[0].upper() for command in self.commands]

    async def wait_until_disconnected(self) -> None:
        """Wait until no connection is open.

        Raises:
            TimeoutError: one stayed open.
        """
        with anyio.fail_after(WAIT_SECONDS):
            while self.servers:
                await self._changed.wait()

    async def wait_for_command(self, verb: Verb, count: int = 1) -> None:
        """Wait until a verb was said so many times; the dot counts as one.

        Raises:
            TimeoutError: it was not.
        """
        with anyio.fail_after(WAIT_SECONDS):
            while self.verbs().count(verb) < count:
                await self._changed.wait()

    def hang_up(self) -> None:
        """Close every connection without a word."""
        for server in list(self.servers):
            server.hang_up()

    def announce(self) -> None:
        """Wake whoever waits."""
        changed, self._changed = self._changed, anyio.Event()
        changed.set()
