"""One connection to a relay: opened, used for mails in turn, closed.

    open    connect ─▶ greeting ─▶ EHLO ─▶ STARTTLS ─▶ EHLO ─▶ AUTH
    send    MAIL FROM ─▶ RCPT TO ─▶ DATA ─▶ the mail, its final dot ─▶ answer
    close   QUIT, or cut

Each step says how far the call has come, because the same error means another thing after the
final dot: by then the relay may have accepted the mail.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from ssl import SSLContext
from typing import cast

import aiosmtplib
import anyio

from chimewayd.adapters.mail_message import Mail
from chimewayd.adapters.smtp_outcome import Phase, Reply, is_accepted
from chimewayd.adapters.smtp_settings import SmtpSettings, Tls

CHUNK_BYTES = 64 * 1024
DRAIN_LOOK_SECONDS = 0.01
QUIT_SECONDS = 2.0
RESET_SECONDS = 5.0
"""Longest wait for the answer that shows that a kept connection still lives."""
QUIET_SECONDS = 1.0
"""A connection that was idle for longer is asked before it gets a mail."""


# The relay says that it closes, or we no longer agree on what was said before.
_LAST_ANSWERS = frozenset({421, 503})
_REFUSALS = range(400, 600)


@dataclass(slots=True)
class Progress:
    """How far one call has come."""

    phase: Phase = Phase.WAIT
    is_handed_over: bool = False
    """The final dot has left, or nobody knows whether it has."""


class Unsuitable(Exception):  # noqa: N818 - no error: an outcome on its way out
    """The relay cannot do what the channel asks of it."""


class Client(aiosmtplib.SMTP):
    """aiosmtplib's client, which is cut at once when it is closed.

    Its own close waits for a TLS peer to say goodbye, and one that hangs does not.
    """

    def close(self) -> None:
        transport = self.transport
        super().close()
        if transport is not None:
            _writable(transport).abort()


class Session:
    """A connection to the relay that is ready for a mail; made by `open_session`."""

    def __init__(self, client: Client, now: float) -> None:
        self._client = client
        self.opened_at = now
        """Monotonic clock, seconds, as `free_since`."""
        self.free_since = now
        self.mail_count = 0
        self._is_clean = True

    @property
    def is_connected(self) -> bool:
        """Whether the relay has not hung up, as far as we have heard."""
        return self._client.is_connected

    @property
    def is_kept(self) -> bool:
        """Whether it has carried a mail before."""
        return self.mail_count > 0

    async def is_alive(self, now: float) -> bool:
        """Make the relay forget a mail that it refused; ask it anyway after a silence."""
        if self._is_clean and now - self.free_since < QUIET_SECONDS:
            return self.is_connected
        with anyio.move_on_after(RESET_SECONDS), suppress(aiosmtplib.SMTPException, OSError):
            reply = await self._client.execute_command(b"RSET", timeout=None)
            self._is_clean = is_accepted(Phase.RSET, reply.code)
            return self._is_clean
        return False

    def obstacle(self, mail: Mail) -> str | None:
        """Say why this relay can never take this mail, if it cannot."""
        offers, size_bytes = self._client.esmtp_extensions, len(mail.content)
        if mail.needs_smtputf8 and "smtputf8" not in offers:
            return "an address is not ASCII, and the relay does not offer SMTPUTF8"
        limit = offers.get("size", "")
        if limit.isdecimal() and 0 < int(limit) < size_bytes:
            return f"the mail has {size_bytes} bytes, the relay takes {limit}"
        return None

    async def send(self, mail: Mail, notify: Sequence[str], progress: Progress) -> Reply:
        """Send one mail; return the answer that ended it, in `progress.phase`.

        Raises:
            aiosmtplib.SMTPException, OSError: there was no answer, or none that is SMTP.
        """
        self._is_clean = False
        self.mail_count += 1
        for phase, command in self._commands(mail, notify):
            progress.phase = phase
            reply = Reply(*await self._client.execute_command(command, timeout=None))
            if not is_accepted(phase, reply.code):
                break
        else:
            progress.phase = Phase.CONTENT
            reply = await self._content(stuffed(mail.content), progress)
            # The relay forgets what it accepted by itself (RFC 5321 section 4.1.1.4).
            self._is_clean = is_accepted(Phase.CONTENT, reply.code)
        # Neither yes nor no is the answer to something else: the next one would be, too.
        is_answer = reply.code in _REFUSALS or is_accepted(progress.phase, reply.code)
        if reply.code in _LAST_ANSWERS or not is_answer:
            self.cut()
        return reply

    async def quit(self) -> None:
        """Say goodbye, briefly, and close."""
        with anyio.move_on_after(QUIT_SECONDS), suppress(aiosmtplib.SMTPException, OSError):
            await self._client.quit(timeout=None)
        self.cut()

    def cut(self) -> None:
        """Close at once; what has not left yet never will."""
        self._client.close()

    async def _content(self, content: bytes, progress: Progress) -> Reply:
        """Write the mail and hear the answer; the dot goes with the last piece, and no earlier."""
        protocol = self._client.protocol
        if protocol is None or protocol.transport is None:
            raise aiosmtplib.SMTPServerDisconnected("Connection lost")
        transport = _writable(protocol.transport)
        last = max(len(content) - CHUNK_BYTES, 0)
        for begin in range(0, last, CHUNK_BYTES):
            protocol.write(content[begin : min(begin + CHUNK_BYTES, last)])
            while transport.get_write_buffer_size() > CHUNK_BYTES:  # noqa: ASYNC110 - as below
                # The library keeps to itself when the connection can take more.
                await anyio.sleep(DRAIN_LOOK_SECONDS)
        protocol.write(content[last:])  # raises where the relay has gone meanwhile
        progress.is_handed_over = True
        try:
            return Reply(*await protocol.read_response())
        except asyncio.CancelledError:
            # Our deadline. What is still here, the dot with it, is thrown away with the connection.
            progress.is_handed_over = transport.get_write_buffer_size() == 0
            raise

    def _commands(self, mail: Mail, notify: Sequence[str]) -> list[tuple[Phase, bytes]]:
        """Write the envelope, with those parameters that the relay offers."""
        offers = self._client.esmtp_extensions
        of_mail, of_rcpt = [f"MAIL FROM:<{mail.sender}>"], [f"RCPT TO:<{mail.recipient}>"]
        if mail.needs_smtputf8:
            of_mail += ["SMTPUTF8", "BODY=8BITMIME"]
        if "size" in offers:
            of_mail.append(f"SIZE={len(mail.content)}")
        if "dsn" in offers and notify:
            # Source: RFC 3461 sections 4.1 to 4.4.
            of_mail += ["RET=HDRS", f"ENVID={mail.delivery_id}"]
            of_rcpt.append(f"NOTIFY={','.join(notify).upper()}")
            if not mail.recipient.needs_smtputf8:
                of_rcpt.append(f"ORCPT=rfc822;{xtext(str(mail.recipient))}")
        return [
            (Phase.MAIL, " ".join(of_mail).encode()),
            (Phase.RCPT, " ".join(of_rcpt).encode()),
            (Phase.DATA, b"DATA"),
        ]


async def open_session(
    settings: SmtpSettings, context: SSLContext, helo_name: str | None, progress: Progress
) -> Session:
    """Connect, protect the connection as the channel says, and log in.

    Raises:
        Unsuitable, aiosmtplib.SMTPException, OSError: it did not work.
    """
    client = Client(
        hostname=settings.host,
        port=settings.relay_port,
        use_tls=settings.tls is Tls.IMPLICIT,
        start_tls=False,
        tls_context=context,
        timeout=None,
        # Otherwise it asks DNS for this host's name, in a thread that nothing can stop.
        local_hostname=helo_name or "localhost",
    )
    progress.phase = Phase.CONNECT
    try:
        await client.connect()
        if helo_name is None:
            client.local_hostname = _own_address(client)
        await _hello(client, progress)
        if settings.tls is Tls.STARTTLS:
            await _protect(client, progress)
            await _hello(client, progress)
        if settings.username is not None and settings.password is not None:
            progress.phase = Phase.AUTH
            await _log_in(client, settings.username, settings.password.get_secret_value())
    except BaseException:
        client.close()
        raise
    return Session(client, time.monotonic())


async def _hello(client: Client, progress: Progress) -> None:
    progress.phase = Phase.EHLO
    await client.ehlo()


async def _protect(client: Client, progress: Progress) -> None:
    progress.phase = Phase.STARTTLS
    if "starttls" not in client.esmtp_extensions:
        raise Unsuitable("the relay does not offer STARTTLS")
    await client.starttls()


async def _log_in(client: Client, username: str, password: str) -> None:
    """Log in once: a wrong password tried by every method may lock the account."""
    is_private = client.get_transport_info("sslcontext") is not None
    methods = {
        "plain": client.auth_plain,
        "login": client.auth_login,
        "cram-md5": client.auth_crammd5,
    }
    preferred = list(methods) if is_private else list(reversed(methods))
    for name in preferred:
        if name in client.server_auth_methods:
            await methods[name](username, password)
            return
    raise Unsuitable("the relay offers no way to log in that we know: PLAIN, LOGIN, CRAM-MD5")


def _writable(transport: asyncio.BaseTransport) -> asyncio.WriteTransport:
    # A cast and no check: uvloop's transports are not asyncio's classes.
    return cast("asyncio.WriteTransport", transport)


def _own_address(client: Client) -> str:
    """Return our end of the connection as RFC 5321 section 4.1.3 writes it."""
    own = str(client.get_transport_info("sockname")[0])
    return f"[IPv6:{own.partition('%')[0]}]" if ":" in own else f"[{own}]"


def stuffed(content: bytes) -> bytes:
    """Return the mail as it is transmitted: CRLF alone ends a line, dots doubled, a dot at its end.

    Source: RFC 5321 sections 2.3.8 and 4.5.2. A bare CR or LF, which relays disagree about, would
    let a body smuggle in a second mail.
    """
    lines = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").removesuffix(b"\n")
    return (
        lines.replace(b"\n.", b"\n..")
        .replace(b"\n", b"\r\n")
        .join((b"." if lines.startswith(b".") else b"", b"\r\n.\r\n"))
    )


def xtext(text: str) -> str:
    """Encode a parameter's value. Source: RFC 3461 section 4."""
    return "".join(c if "!" <= c <= "~" and c not in "+=" else f"+{ord(c):02X}" for c in text)
