"""The pool of connections to a relay: what is kept, for how long, and what is let go."""

from datetime import timedelta

import anyio
import pytest
from mailing import LONG, mail_to, smtp
from relay import Fault, Offers, Verb, relay

from chimewayd.adapters.base import Adapter
from chimewayd.adapters.smtp_session import RESET_SECONDS
from chimewayd.models import Delivery, Outcome, Succeeded, Throttled, TimedOut

pytestmark = pytest.mark.anyio

SHORT = timedelta(milliseconds=300)


@pytest.fixture
def mail(delivery: Delivery) -> Delivery:
    return mail_to(delivery)


async def at_once(adapter: Adapter, mail: Delivery, count: int) -> list[Outcome]:
    outcomes = []

    async def one() -> None:
        outcomes.append(await adapter.deliver(mail))

    async with anyio.create_task_group() as calls:
        for _ in range(count):
            calls.start_soon(one)
    return outcomes


async def test_one_connection_carries_mails_in_turn(mail: Delivery) -> None:
    async with relay() as smarthost, smtp(smarthost.port) as adapter:
        for _ in range(3):
            await adapter.deliver(mail)

    assert smarthost.connections_ever == 1
    assert len(smarthost.mails) == 3
    assert "RSET" not in smarthost.verbs()


async def test_connections_are_never_more_than_the_limit(mail: Delivery) -> None:
    async with relay() as smarthost, smtp(smarthost.port, connections=2) as adapter:
        outcomes = await at_once(adapter, mail, 10)

    assert all(isinstance(outcome, Succeeded) for outcome in outcomes)
    assert smarthost.connections_ever == 2
    assert len(smarthost.mails) == 10


async def test_waiting_for_a_connection_is_within_the_deadline(mail: Delivery) -> None:
    async with relay() as smarthost, smtp(smarthost.port, SHORT, connections=1) as adapter:
        smarthost.script(Verb.DOT, Fault.HANG)
        outcomes = await at_once(adapter, mail, 2)

    assert sorted(o.request_sent for o in outcomes if isinstance(o, TimedOut)) == [False, True]


async def test_connection_is_closed_after_its_share_of_mails(mail: Delivery) -> None:
    async with relay() as smarthost, smtp(smarthost.port, messages_per_connection=2) as adapter:
        for _ in range(5):
            await adapter.deliver(mail)

    assert smarthost.connections_ever == 3


async def test_connection_is_closed_when_it_is_old(mail: Delivery) -> None:
    async with relay() as smarthost, smtp(smarthost.port, connection_age="0.001ms") as adapter:
        for _ in range(2):
            await adapter.deliver(mail)
            await smarthost.wait_until_disconnected()

    assert smarthost.connections_ever == 2


async def test_idle_connection_is_closed_politely(mail: Delivery) -> None:
    async with relay() as smarthost, smtp(smarthost.port, idle_timeout="50ms") as adapter:
        await at_once(adapter, mail, 3)
        await smarthost.wait_until_disconnected()

        assert smarthost.verbs().count("QUIT") == smarthost.connections_ever


async def test_leaving_closes_what_is_kept_and_outlives_a_relay_that_hangs(mail: Delivery) -> None:
    async with relay() as smarthost:
        async with smtp(smarthost.port) as adapter:
            await adapter.deliver(mail)
            smarthost.script(Verb.QUIT, Fault.HANG)
        await smarthost.wait_until_disconnected()

    assert smarthost.verbs()[-1] == "QUIT"


async def test_kept_connection_that_the_relay_closed_costs_no_attempt(mail: Delivery) -> None:
    async with relay() as smarthost, smtp(smarthost.port) as adapter:
        await adapter.deliver(mail)
        smarthost.hang_up()
        outcome = await adapter.deliver(mail)

    assert isinstance(outcome, Succeeded)
    assert smarthost.connections_ever == 2


@pytest.mark.parametrize("answer", [Fault.HANG_UP, "421 4.7.0 enough of this connection"])
async def test_relay_that_ends_a_kept_connection_at_mail_gets_a_new_one(
    mail: Delivery, answer: str
) -> None:
    async with relay() as smarthost, smtp(smarthost.port) as adapter:
        await at_once(adapter, mail, 2)
        connections = smarthost.connections_ever
        smarthost.script(Verb.MAIL, answer, "250 OK")
        outcome = await adapter.deliver(mail)

    # The server itself was not told of the scripted sender, and wants one.
    assert smarthost.connections_ever == connections + 1
    assert outcome.status_code == 503


async def test_relay_that_refuses_a_new_connection_at_mail_is_believed(mail: Delivery) -> None:
    async with relay() as smarthost, smtp(smarthost.port) as adapter:
        smarthost.script(Verb.MAIL, "421 4.7.0 slow down")
        outcome = await adapter.deliver(mail)

    assert isinstance(outcome, Throttled)
    assert smarthost.connections_ever == 1


async def test_connection_is_asked_after_a_silence(
    mail: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chimewayd.adapters.smtp_session.QUIET_SECONDS", 0)

    async with relay() as smarthost, smtp(smarthost.port) as adapter:
        await adapter.deliver(mail)
        await adapter.deliver(mail)

    assert smarthost.verbs().count("RSET") == 1
    assert smarthost.connections_ever == 1


async def test_connection_that_does_not_answer_after_a_silence_is_replaced(
    mail: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chimewayd.adapters.smtp_session.QUIET_SECONDS", 0)
    monkeypatch.setattr("chimewayd.adapters.smtp_session.RESET_SECONDS", 0.2)

    async with relay() as smarthost, smtp(smarthost.port) as adapter:
        await at_once(adapter, mail, 2)
        connections = smarthost.connections_ever
        smarthost.script(Verb.RSET, Fault.HANG)
        outcome = await adapter.deliver(mail)

    assert LONG.total_seconds() > RESET_SECONDS
    assert isinstance(outcome, Succeeded)
    assert smarthost.connections_ever == connections + 1


async def test_cancelled_question_to_a_kept_connection_leaves_nothing(
    mail: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chimewayd.adapters.smtp_session.QUIET_SECONDS", 0)

    async with relay() as smarthost, smtp(smarthost.port) as adapter:
        await adapter.deliver(mail)
        smarthost.script(Verb.RSET, Fault.HANG)
        async with anyio.create_task_group() as calls:
            calls.start_soon(adapter.deliver, mail)
            await smarthost.wait_for_command(Verb.RSET)
            calls.cancel_scope.cancel()
        await smarthost.wait_until_disconnected()


async def test_connection_that_lost_the_thread_is_not_kept(mail: Delivery) -> None:
    async with relay() as smarthost, smtp(smarthost.port) as adapter:
        smarthost.script(Verb.RCPT, "503 5.5.1 need MAIL first")
        await adapter.deliver(mail)
        await smarthost.wait_until_disconnected()


async def test_failed_login_leaves_no_connection(mail: Delivery) -> None:
    async with (
        relay(Offers(logins={"shop": "other"})) as smarthost,
        smtp(smarthost.port, username="shop", password="c4nary") as adapter,
    ):
        await adapter.deliver(mail)
        await smarthost.wait_until_disconnected()


async def test_what_ends_the_daemon_comes_through_as_it_is() -> None:
    with pytest.raises(LookupError):
        async with smtp(1):
            raise LookupError
