"""A real SMTP server (aiosmtpd) on loopback that can be told what to answer, and where to fail.

    async with relay() as smarthost:
        smarthost.script(Verb.RCPT, "550 5.1.1 no such user", Fault.HANG_UP)
        …deliver through smarthost.port…
        (mail,) = smarthost.mails

A verb without a script is answered by the server itself. The last answer of a script repeats.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import AnyStr, cast

import anyio
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from smarthost import Answer, Fault, Offers, Received, Relay, Verb

__all__ = ["Fault", "Offers", "Received", "Relay", "Verb", "relay"]

# The server's own log tells every line, secrets and all: it is not ours that is looked at.
logging.getLogger("mail.log").setLevel(logging.ERROR)


COMMAND_LIMIT_BYTES = 4096


class Server(SMTP):
    """One connection of the server."""

    line_length_limit = 100_000

    def __init__(self, relay: Relay) -> None:
        offers = relay.offers
        super().__init__(
            Handler(relay),
            data_size_limit=offers.size_bytes,
            enable_SMTPUTF8=offers.smtputf8,
            hostname="relay.test",
            tls_context=None if offers.is_implicit else offers.tls,
            auth_require_tls=False,
            authenticator=lambda *said: _judge(offers.logins, said[-1]),
            loop=asyncio.get_running_loop(),
        )
        self.command_size_limits = defaultdict(lambda: COMMAND_LIMIT_BYTES)
        self._relay = relay
        self._has_greeted = False
        self._options: dict[Verb, list[str]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self not in self._relay.servers:
            self._relay.servers.add(self)
            self._relay.connections_ever += 1
            self._relay.announce()
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._relay.servers.discard(self)
        self._relay.announce()
        super().connection_lost(error)

    def eof_received(self) -> bool:
        super().eof_received()
        return False  # aiosmtpd keeps its end open where it was not waiting for a command

    async def push(self, status: AnyStr) -> None:
        if not self._has_greeted:
            self._has_greeted = True
            if await self._does(Verb.GREETING, None):
                return
        await super().push(status)

    def hang_up(self) -> None:
        """Close the connection at once."""
        transport = self._original_transport or self.transport
        if transport is not None:
            # uvloop's transports are not asyncio's classes.
            cast("asyncio.WriteTransport", transport).abort()

    def options(self, verb: Verb) -> list[str]:
        """Return the parameters of the last MAIL or RCPT, as they were written."""
        return self._options.get(verb, [])

    async def smtp_EHLO(self, hostname: str) -> None:  # noqa: N802 - aiosmtpd's name
        if not await self._does(Verb.EHLO, hostname):
            await super().smtp_EHLO(hostname)

    async def smtp_STARTTLS(self, arg: str) -> None:  # noqa: N802 - aiosmtpd's name
        if not await self._does(Verb.STARTTLS, arg):
            await super().smtp_STARTTLS(arg)

    async def smtp_AUTH(self, arg: str) -> None:  # noqa: N802 - aiosmtpd's name
        if not await self._does(Verb.AUTH, arg):
            await super().smtp_AUTH(arg)

    async def smtp_RSET(self, arg: str) -> None:  # noqa: N802 - aiosmtpd's name
        if not await self._does(Verb.RSET, arg):
            await super().smtp_RSET(arg)

    async def smtp_QUIT(self, arg: str) -> None:  # noqa: N802 - aiosmtpd's name
        if not await self._does(Verb.QUIT, arg):
            await super().smtp_QUIT(arg)

    async def smtp_MAIL(self, arg: str | None) -> None:  # noqa: N802 - aiosmtpd's name
        if not await self._does(Verb.MAIL, arg):
            await super().smtp_MAIL(self._without_dsn(Verb.MAIL, arg))

    async def smtp_RCPT(self, arg: str | None) -> None:  # noqa: N802 - aiosmtpd's name
        if not await self._does(Verb.RCPT, arg):
            await super().smtp_RCPT(self._without_dsn(Verb.RCPT, arg))

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802 - aiosmtpd's name
        if not await self._does(Verb.DATA, arg):
            await super().smtp_DATA(arg)

    async def answer(self, answer: Answer) -> str:
        """Return what is to be said; hang or hang up where that is the answer."""
        if answer is Fault.HANG:
            await anyio.sleep_forever()
        closes = answer.startswith("421")
        if closes:
            await super().push(answer)
        if closes or answer is Fault.HANG_UP:
            self.hang_up()
            await anyio.sleep_forever()
        return answer

    async def _does(self, verb: Verb, arg: str | None) -> bool:
        if verb is not Verb.GREETING:
            self._relay.commands.append(f"{verb} {arg or ''}".strip())
            self._relay.announce()
        answer = self._relay.scripted(verb)
        if answer is None:
            return False
        await super().push(await self.answer(answer))
        return True

    def _without_dsn(self, verb: Verb, arg: str | None) -> str | None:
        """Take out what aiosmtpd does not know, if it was offered."""
        words = (arg or "").split()
        self._options[verb] = words[1:]
        if not self._relay.offers.dsn:
            return arg
        known = ("RET=", "ENVID=", "NOTIFY=", "ORCPT=")
        return " ".join(word for word in words if not word.startswith(known))


class Handler:
    """aiosmtpd's hooks."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    async def handle_EHLO(  # noqa: N802 - aiosmtpd's name
        self,
        server: Server,  # noqa: ARG002 - the hook's
        session: Session,
        envelope: Envelope,  # noqa: ARG002 - the hook's
        hostname: str,
        responses: list[str],
    ) -> list[str]:
        session.host_name = hostname
        hidden = ("250-AUTH",) if not self._relay.offers.logins else ()
        kept = [line for line in responses if not line.startswith(hidden or "-")]
        return [*kept[:-1], *(["250-DSN"] if self._relay.offers.dsn else []), kept[-1]]

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: Server, session: Session, envelope: Envelope
    ) -> str:
        relay = self._relay
        answer = relay.scripted(Verb.DOT)
        assert isinstance(envelope.content, bytes)
        assert envelope.mail_from is not None
        relay.mails.append(
            Received(
                envelope.mail_from,
                ", ".join(envelope.rcpt_tos),
                envelope.content,
                server.options(Verb.MAIL),
                server.options(Verb.RCPT),
                relay.offers.is_implicit or session.ssl is not None,
                cast("LoginPassword", session.auth_data).login.decode()
                if session.authenticated
                else None,
            )
        )
        relay.commands.append(Verb.DOT)
        relay.announce()
        if answer is None:
            return f"250 2.0.0 Ok: queued as {len(relay.mails):08X}"
        return await server.answer(answer)


def _judge(logins: Mapping[str, str], said: object) -> AuthResult:
    if not isinstance(said, LoginPassword):
        return AuthResult(success=False)
    login, password = said.login.decode(), said.password.decode()
    is_right = logins.get(login) == password
    return AuthResult(success=is_right, handled=False, auth_data=said)


@asynccontextmanager
async def relay(offers: Offers | None = None) -> AsyncIterator[Relay]:
    """Run the server on a free loopback port for as long as the context is open."""
    running = Relay(offers or Offers())
    loop = asyncio.get_running_loop()
    context = running.offers.tls if running.offers.is_implicit else None
    listener = await loop.create_server(lambda: Server(running), "127.0.0.1", 0, ssl=context)
    running.port = listener.sockets[0].getsockname()[1]
    try:
        yield running
    finally:
        listener.close()
        running.hang_up()
        with anyio.CancelScope(shield=True):
            await running.wait_until_disconnected()
