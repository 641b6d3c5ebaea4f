"""The smtp adapter when things break: where in the conversation decides what it means."""

import socket
from contextlib import suppress
from datetime import timedelta

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream
from mailing import LONG, mail_to, smtp
from relay import Fault, Relay, Verb, relay

from chimewayd.adapters.evidence import EXCERPT_LIMIT_BYTES
from chimewayd.models import (
    Bounced,
    Delivery,
    Misconfigured,
    Outcome,
    Permanent,
    Succeeded,
    Temporary,
    Throttled,
    TimedOut,
    Unavailable,
    Uncertain,
)

pytestmark = pytest.mark.anyio

SHORT = timedelta(milliseconds=300)
BEFORE_THE_DOT = (Verb.GREETING, Verb.EHLO, Verb.MAIL, Verb.RCPT, Verb.DATA)


@pytest.fixture
def mail(delivery: Delivery) -> Delivery:
    return mail_to(delivery)


async def deliver(smarthost: Relay, mail: Delivery, deadline: timedelta = LONG) -> Outcome:
    async with smtp(smarthost.port, deadline) as adapter:
        return await adapter.deliver(mail)


@pytest.mark.parametrize(
    ("verb", "kind"),
    [
        (Verb.GREETING, Unavailable),
        (Verb.EHLO, Unavailable),
        (Verb.MAIL, Temporary),
        (Verb.RCPT, Temporary),
        (Verb.DATA, Temporary),
    ],
)
async def test_connection_lost_before_the_final_dot_handed_nothing_over(
    mail: Delivery, verb: Verb, kind: type[Outcome]
) -> None:
    async with relay() as smarthost:
        smarthost.script(verb, Fault.HANG_UP)
        outcome = await deliver(smarthost, mail)

    assert type(outcome) is kind
    assert "localhost" in (outcome.detail or "")


async def test_connection_lost_after_the_final_dot_is_uncertain(mail: Delivery) -> None:
    async with relay() as smarthost:
        smarthost.script(Verb.DOT, Fault.HANG_UP)
        outcome = await deliver(smarthost, mail)

    assert type(outcome) is Uncertain
    assert len(smarthost.mails) == 1


@pytest.mark.parametrize("verb", [*BEFORE_THE_DOT, Verb.DOT])
async def test_timeout_says_whether_the_final_dot_had_left(mail: Delivery, verb: Verb) -> None:
    async with relay() as smarthost:
        smarthost.script(verb, Fault.HANG)
        outcome = await deliver(smarthost, mail, SHORT)

    assert isinstance(outcome, TimedOut)
    assert outcome.request_sent == (verb is Verb.DOT)


@pytest.mark.parametrize(
    ("verb", "answer", "kind"),
    [
        (Verb.GREETING, "421 4.3.2 not now", Throttled),
        (Verb.GREETING, "554 5.7.1 your address is listed", Misconfigured),
        (Verb.GREETING, "450 4.3.2 busy", Throttled),
        (Verb.EHLO, "421 4.3.2 not now", Throttled),
        (Verb.EHLO, "550 who are you", Misconfigured),
        (Verb.EHLO, "451 4.3.0 later", Unavailable),
        (Verb.MAIL, "421 4.7.0 too many", Throttled),
        (Verb.MAIL, "451 4.3.0 later", Temporary),
        (Verb.MAIL, "530 5.7.0 authenticate first", Misconfigured),
        (Verb.MAIL, "553 5.7.1 not your address", Misconfigured),
        (Verb.MAIL, "552 5.3.4 too big", Permanent),
        (Verb.RCPT, "550 5.1.1 no such user", Bounced),
        (Verb.RCPT, "450 4.2.0 greylisted for 300 seconds", Temporary),
        (Verb.RCPT, "554 5.7.1 Relay access denied", Misconfigured),
        (Verb.RCPT, "550 5.7.1 reputation", Permanent),
        (Verb.DATA, "451 4.3.0 later", Temporary),
        (Verb.DATA, "554 5.5.1 no valid recipients", Permanent),
        (Verb.DATA, "250 that is no go-ahead", Temporary),
        (Verb.DOT, "452 4.3.1 disk full", Temporary),
        (Verb.DOT, "550 5.1.1 no such user after all", Bounced),
        (Verb.DOT, "554 5.7.1 spam", Permanent),
        (Verb.DOT, "354 what", Uncertain),
    ],
)
async def test_refusal_means_what_its_phase_and_code_say(
    mail: Delivery, verb: Verb, answer: str, kind: type[Outcome]
) -> None:
    async with relay() as smarthost:
        smarthost.script(verb, answer)
        outcome = await deliver(smarthost, mail)

    assert type(outcome) is kind
    assert outcome.status_code == int(answer[:3])
    assert outcome.response is not None
    assert outcome.response in answer


async def test_wait_that_a_relay_asks_for_is_kept(mail: Delivery) -> None:
    async with relay() as smarthost:
        smarthost.script(Verb.RCPT, "450 4.2.0 Greylisted, retry in 5 minutes")
        outcome = await deliver(smarthost, mail)

    assert isinstance(outcome, Temporary)
    assert outcome.retry_after == timedelta(minutes=5)


async def test_refused_sender_of_the_payload_is_not_the_channels_fault(mail: Delivery) -> None:
    other = mail_to(mail, **{"from": "other@example.org"})

    async with relay() as smarthost:
        smarthost.script(Verb.MAIL, "553 5.7.1 not your address")
        outcome = await deliver(smarthost, other)

    assert type(outcome) is Permanent


@pytest.mark.parametrize(
    ("answer", "kind"), [("9" * 100_000, Uncertain), ("no code at all", Uncertain)]
)
async def test_answer_to_the_mail_that_is_not_smtp_is_uncertain_and_bounded(
    mail: Delivery, answer: str, kind: type[Outcome]
) -> None:
    async with relay() as smarthost:
        smarthost.script(Verb.DOT, answer)
        outcome = await deliver(smarthost, mail)

    assert type(outcome) is kind
    assert len(repr(outcome)) < 2 * EXCERPT_LIMIT_BYTES


async def test_relay_that_refuses_connections_is_unavailable(mail: Delivery) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    async with smtp(port) as adapter:
        outcome = await adapter.deliver(mail)

    assert type(outcome) is Unavailable
    assert "refused" in (outcome.detail or "")


async def test_silent_relay_ends_at_the_deadline_of_connecting(mail: Delivery) -> None:
    async with relay() as smarthost, smtp(smarthost.port, connect_timeout="200ms") as adapter:
        smarthost.script(Verb.GREETING, Fault.HANG)
        outcome = await adapter.deliver(mail)
        await smarthost.wait_until_disconnected()

    assert type(outcome) is Unavailable
    assert "not ready in time" in (outcome.detail or "")


async def test_relay_that_speaks_no_tls_is_unavailable(mail: Delivery) -> None:
    async with relay() as smarthost, smtp(smarthost.port, tls="implicit") as adapter:
        outcome = await adapter.deliver(mail)

    assert type(outcome) is Unavailable


class SlowReader:
    """A relay that takes the envelope and reads no more of the mail until it is told to."""

    def __init__(self) -> None:
        self.has_begun = False
        self.may_read = anyio.Event()
        self.has_ended = anyio.Event()
        self.end = b""
        """The last bytes that came."""

    async def __call__(self, stream: SocketStream) -> None:
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            async with stream:
                await stream.send(b"220 slow\r\n")
                for answer in (b"250 slow", b"250 OK", b"250 OK", b"354 go on"):
                    await stream.receive()
                    await stream.send(answer + b"\r\n")
                self.has_begun = True
                await self.may_read.wait()
                while True:
                    self.end = (self.end + await stream.receive())[-5:]
        self.has_ended.set()


@pytest.mark.parametrize("chunk_bytes", [64 * 1024, 10**9], ids=["in pieces", "in one piece"])
async def test_mail_that_is_still_here_at_the_deadline_never_leaves(
    mail: Delivery, monkeypatch: pytest.MonkeyPatch, chunk_bytes: int
) -> None:
    monkeypatch.setattr("chimewayd.adapters.smtp_session.CHUNK_BYTES", chunk_bytes)
    # More than a kernel takes off our hands for somebody who does not read.
    mail = mail_to(mail, text=f"{'x' * 70}\n" * 200_000)
    # The mail is written within the deadline, too; a crowded machine may not come further in two.
    for deadline_seconds in (2, 8, 32):
        reader = SlowReader()
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - no SQL: a socket's
        async with listener, anyio.create_task_group() as serving:
            serving.start_soon(listener.serve, reader)
            async with smtp(port, timedelta(seconds=deadline_seconds)) as adapter:
                outcome = await adapter.deliver(mail)
                reader.may_read.set()
                if reader.has_begun:
                    with anyio.fail_after(10):
                        await reader.has_ended.wait()
            serving.cancel_scope.cancel()
        if reader.has_begun:
            break

    assert reader.has_begun
    assert isinstance(outcome, TimedOut)
    assert not outcome.request_sent
    assert reader.end != b"\r\n.\r\n"


async def test_connection_lost_before_the_last_piece_handed_nothing_over(
    mail: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Three pieces: the third waits, because a kernel takes less than one off our hands.
    monkeypatch.setattr("chimewayd.adapters.smtp_session.CHUNK_BYTES", 6_000_000)
    outcome = await _hung_up_on(mail_to(mail, text=f"{'x' * 70}\n" * 245_000))

    assert type(outcome) is Temporary


async def test_connection_lost_in_the_middle_of_a_mail_handed_nothing_over(mail: Delivery) -> None:
    outcome = await _hung_up_on(mail_to(mail, text=f"{'x' * 70}\n" * 200_000))

    assert type(outcome) is Temporary


async def _hung_up_on(mail: Delivery) -> Outcome:
    async def hang_up(stream: SocketStream) -> None:
        async with stream:
            await stream.send(b"220 rude\r\n")
            for answer in (b"250 rude", b"250 OK", b"250 OK", b"354 go on"):
                await stream.receive()
                await stream.send(answer + b"\r\n")
            await stream.receive()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    for one in listener.listeners:
        raw = one.extra(SocketAttribute.raw_socket)  # noqa: S610 - as below
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - no SQL: a socket's
    async with listener, anyio.create_task_group() as serving:
        serving.start_soon(listener.serve, hang_up)
        async with smtp(port) as adapter:
            outcome = await adapter.deliver(mail)
        serving.cancel_scope.cancel()
    return outcome


async def test_two_refusals_do_not_spoil_the_connection(mail: Delivery) -> None:
    async with relay() as smarthost, smtp(smarthost.port) as adapter:
        smarthost.script(Verb.RCPT, "550 5.1.1 no such user")
        for _ in range(2):
            assert isinstance(await adapter.deliver(mail), Bounced)
        smarthost.script(Verb.RCPT)
        outcome = await adapter.deliver(mail)

    assert isinstance(outcome, Succeeded)
    assert smarthost.connections_ever == 1
    assert smarthost.verbs().count("RSET") == 2


async def test_conversation_that_got_muddled_begins_anew(mail: Delivery) -> None:
    async with relay() as smarthost, smtp(smarthost.port, timedelta(seconds=4)) as adapter:
        smarthost.script(Verb.DOT, "250 OK\r\n250 and once more")
        first = await adapter.deliver(mail)
        smarthost.script(Verb.DOT)
        muddled, anew = [await adapter.deliver(mail) for _ in range(2)]

    # The line too many passes for the answer to MAIL, that one for the next, and DATA has none.
    assert [type(one) for one in (first, muddled, anew)] == [Succeeded, Temporary, Succeeded]
