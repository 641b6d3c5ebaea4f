"""Perform an attempt as one mail, handed to a relay: the recipient is the address.

    payload ─▶ mail ─▶ a connection of the pool ─▶ MAIL, RCPT, DATA ─▶ final dot ─▶ answer
       │                       │                          │                  │         │
    permanent        unavailable, misconfigured   as smtp_outcome says   uncertain  decides

A relay's yes means that it has taken the mail over, not that anybody has read it: what bounces
later goes to `envelope_from`. Missing on purpose: a queue, MX lookup and DKIM, which are the
relay's; HELO without EHLO; more than one recipient.
"""

import email.errors
import ssl
from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from socket import gaierror, gethostname
from types import TracebackType
from typing import ClassVar, Self, TypeVar

import aiosmtplib
import anyio

from chimewayd.adapters.base import AdapterSettings, Reach
from chimewayd.adapters.evidence import DETAIL_LIMIT_BYTES, clean, secret_words
from chimewayd.adapters.mail_address import parse_address, parse_mailbox
from chimewayd.adapters.mail_css import inline_css
from chimewayd.adapters.mail_message import Letterhead, Mail, compose
from chimewayd.adapters.mail_payload import decode_attachments, parse_payload
from chimewayd.adapters.smtp_outcome import BEFORE_A_MAIL, Phase, Reply, judge
from chimewayd.adapters.smtp_pool import Pool
from chimewayd.adapters.smtp_session import Progress, Session, Unsuitable, open_session
from chimewayd.adapters.smtp_settings import SmtpSettings
from chimewayd.models import (
    Delivery,
    Misconfigured,
    Outcome,
    Permanent,
    Temporary,
    TimedOut,
    Unavailable,
    Uncertain,
)

_CLOSING = 421
Done = TypeVar("Done")


class SmtpAdapter:
    """Hands each delivery to the channel's relay as a mail to its recipient."""

    Settings: ClassVar[type[AdapterSettings]] = SmtpSettings

    def __init__(self, settings: SmtpSettings, timeout: timedelta) -> None:
        self._settings = settings
        self._timeout_seconds = timeout.total_seconds()
        self._relay = f"{settings.host}:{settings.relay_port}"
        self._secrets = _secrets(settings)
        self._letterhead = _letterhead(settings)
        self._helo_name = settings.helo_name or _full_name(gethostname())
        self._tls_context = settings.tls_context()
        self._pool = Pool(settings, self._open)

    async def __aenter__(self) -> Self:
        await self._pool.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._pool.__aexit__(kind, error, traceback)

    async def deliver(self, delivery: Delivery) -> Outcome:
        progress = Progress()

        async def send() -> Outcome:
            mail = await self._compose(delivery)
            return mail if isinstance(mail, Outcome) else await self._send(mail, progress)

        return await self._judged(progress, send)

    async def reach(self, recipients: Sequence[str]) -> list[Reach]:  # noqa: ARG002 - they are the relay's business
        """Connect, log in, and leave."""
        progress = Progress()

        async def look() -> None:
            session = await self._open(progress)
            await session.quit()

        outcome = await self._judged(progress, look)
        return [Reach(self._relay, None if outcome is None else outcome.detail or "failed")]

    async def _judged(
        self, progress: Progress, work: Callable[[], Awaitable[Done]]
    ) -> Done | Outcome:
        """Do it within the deadline; what is raised on the way is an outcome."""
        try:
            with anyio.fail_after(self._timeout_seconds):
                return await work()
        except Unsuitable as error:
            return Misconfigured(detail=f"{self._relay}: {error}")
        except aiosmtplib.SMTPResponseException as error:
            reply = Reply(error.code, error.message)
            return judge(progress.phase, reply, self._relay, self._secrets)
        except (aiosmtplib.SMTPException, OSError) as error:
            if type(error) is TimeoutError:  # our deadline, and nobody else's
                return _timed_out(progress, self._relay)
            return _lost(error, progress, self._relay)

    async def _compose(self, delivery: Delivery) -> Mail | Permanent | Temporary:
        settings = self._settings
        try:
            recipient = parse_address(delivery.recipient)
        except ValueError as error:
            return Permanent(detail=f"recipient {error}")
        try:
            payload = parse_payload(delivery.payload_json)
            attachments = decode_attachments(
                payload.attachments, settings.max_attachments, settings.max_attachment_bytes
            )
            if settings.inline_css and payload.html is not None:
                payload = payload.model_copy(update={"html": await inline_css(payload.html)})
            delivery_id, now = str(delivery.delivery_id), datetime.now(UTC)
            return compose(self._letterhead, payload, attachments, recipient, delivery_id, now)
        except anyio.BrokenWorkerProcess:
            return Temporary(detail="payload.html: the process that inlines its CSS died over it")
        except (UnicodeError, LookupError, email.errors.MessageError):
            return Permanent(detail="payload cannot be written as a mail")
        except ValueError as error:
            return Permanent(detail=clean(str(error), limit_bytes=DETAIL_LIMIT_BYTES))

    async def _send(self, mail: Mail, progress: Progress) -> Outcome:
        try:
            return await self._hand_over(mail, progress)
        except _RelayHadGoneError:
            return await self._hand_over(mail, progress, is_new=True)

    async def _hand_over(self, mail: Mail, progress: Progress, *, is_new: bool = False) -> Outcome:
        async with self._pool.lend(progress, is_new=is_new) as session:
            obstacle = session.obstacle(mail)
            if obstacle is not None:
                return Permanent(detail=f"{self._relay}: {obstacle}")
            is_kept = session.is_kept
            try:
                reply = await session.send(mail, self._settings.notify, progress)
            except (aiosmtplib.SMTPServerDisconnected, ConnectionError) as error:
                if is_kept and progress.phase is Phase.MAIL:
                    raise _RelayHadGoneError from error
                raise
            if is_kept and progress.phase is Phase.MAIL and reply.code == _CLOSING:
                raise _RelayHadGoneError
        return judge(
            progress.phase,
            reply,
            self._relay,
            self._secrets,
            has_channels_sender=mail.has_channels_sender,
        )

    async def _open(self, progress: Progress) -> Session:
        with anyio.move_on_after(self._settings.connect_timeout.total_seconds()):
            return await open_session(self._settings, self._tls_context, self._helo_name, progress)
        raise aiosmtplib.SMTPConnectTimeoutError("not ready within connect_timeout")


class _RelayHadGoneError(Exception):
    """A kept connection turned out to be closed before it was told of a mail."""


def _timed_out(progress: Progress, relay: str) -> Outcome:
    detail = f"{relay}: the deadline passed at {progress.phase}"
    return TimedOut(detail=detail, request_sent=progress.is_handed_over)


def _lost(error: Exception, progress: Progress, relay: str) -> Outcome:
    """Say what a lost connection means: after the final dot, nobody knows."""
    if progress.is_handed_over:
        return Uncertain(detail=f"{relay}: the connection was lost before the mail was answered")
    is_ours, reason = _reason(error)
    detail = clean(f"{relay}: {reason}, at {progress.phase}", limit_bytes=DETAIL_LIMIT_BYTES)
    if is_ours:
        return Misconfigured(detail=detail)
    return (Unavailable if progress.phase in BEFORE_A_MAIL else Temporary)(detail=detail)


def _reason(error: Exception) -> tuple[bool, str]:
    """Name what went wrong, and tell whether waiting cannot mend it."""
    for cause in (error, error.__cause__):
        match cause:
            case ssl.SSLCertVerificationError():
                return True, f"the certificate was refused: {cause.verify_message}"
            case ssl.SSLError():
                return False, "the TLS handshake failed"
            case gaierror():
                return False, "the host name does not resolve"
            case aiosmtplib.SMTPConnectTimeoutError():
                return False, "not ready in time"
            case OSError() if cause.strerror:
                return False, cause.strerror
    return False, "the connection was lost"


def _letterhead(settings: SmtpSettings) -> Letterhead:
    sender = parse_mailbox(settings.sender)
    return Letterhead(
        sender=sender,
        envelope_from=settings.envelope_from,
        reply_to=parse_mailbox(settings.reply_to) if settings.reply_to else None,
        headers=settings.headers,
        allowed_headers=tuple(name.lower() for name in settings.allowed_headers),
        from_domains=settings.from_domains | {sender.address.domain},
        message_id_domain=settings.message_id_domain or sender.address.domain,
    )


def _secrets(settings: SmtpSettings) -> tuple[str, ...]:
    """List the login in each form in which it goes to the relay, which may repeat it.

    A name that is no address may be half of an API key; an address is no secret, and a refusal
    has to name it.
    """
    if settings.username is None or settings.password is None:
        return ()
    password = settings.password.get_secret_value()
    sent = (password, f"\0{settings.username}\0{password}")
    name = () if "@" in settings.username else (settings.username,)
    encoded = (b64encode(text.encode()).decode() for text in (*sent, *name))
    return secret_words((password, *name, *encoded))


def _full_name(name: str) -> str | None:
    """Return a host name that means something elsewhere, or None."""
    return name if "." in name.strip(".") and name.isascii() else None
