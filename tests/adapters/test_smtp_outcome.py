"""What the answers of a relay mean."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chimewayd.adapters.smtp_outcome import (
    LONGEST_RETRY_AFTER,
    Phase,
    Reply,
    is_accepted,
    judge,
    queue_id,
    wait_asked_for,
)
from chimewayd.models import (
    Bounced,
    Misconfigured,
    Outcome,
    Permanent,
    Succeeded,
    Temporary,
    Throttled,
    Unavailable,
    Uncertain,
)

RELAY = "relay.test:587"
BEFORE_A_MAIL = (Phase.CONNECT, Phase.EHLO, Phase.STARTTLS, Phase.AUTH)
TRANSACTION = (Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.CONTENT)


def kind(
    phase: Phase, code: int, text: str = "", *, has_channels_sender: bool = True
) -> type[Outcome]:
    reply = Reply(code, text)
    return type(judge(phase, reply, RELAY, has_channels_sender=has_channels_sender))


@pytest.mark.parametrize("enhanced", ["5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"])
def test_code_about_the_recipient_bounces(enhanced: str) -> None:
    assert kind(Phase.RCPT, 550, f"{enhanced} so it is") is Bounced
    assert kind(Phase.CONTENT, 550, f"{enhanced} so it is") is Bounced
    assert kind(Phase.MAIL, 550, f"{enhanced} so it is") is not Bounced


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (550, "5.7.1 our reputation, not the recipient"),
        (550, "5.7.26 unauthenticated mail"),
        (550, "5.1.8 the sender's domain does not exist"),
        (550, "5.1.7 the sender's address"),
        (550, "5.1.0 sender denied"),
        (552, "5.2.2 mailbox full"),
        (552, "5.3.4 message too big"),
        (550, "5.4.1 Recipient address rejected: Access denied"),
        (554, "5.6.0 malformed mail"),
        (550, "no reason at all"),
        (553, ""),
        (550, "mailbox unavailable"),
        (550, "5.7.1 user unknown to our whitelist"),
    ],
)
def test_other_refusal_is_permanent_and_no_bounce(code: int, text: str) -> None:
    assert kind(Phase.RCPT, code, text) is Permanent
    assert kind(Phase.CONTENT, code, text) is Permanent


@pytest.mark.parametrize(
    "text", ["No such user here", "User unknown", "unknown recipient", "mailbox not found"]
)
def test_relay_without_enhanced_codes_bounces_in_words(text: str) -> None:
    assert kind(Phase.RCPT, 550, text) is Bounced


def test_bounce_of_qmail_is_read() -> None:
    assert kind(Phase.RCPT, 511, "sorry, no mailbox here by that name (#5.1.1)") is Bounced


@pytest.mark.parametrize("phase", [*BEFORE_A_MAIL, *TRANSACTION])
def test_421_throttles_in_each_phase(phase: Phase) -> None:
    assert kind(phase, 421, "4.3.2 closing") is Throttled


@pytest.mark.parametrize(
    ("code", "text"),
    [(450, "4.7.28 too many"), (451, "4.4.5 congested"), (550, "5.4.5 daily quota exceeded")],
)
def test_quota_throttles(code: int, text: str) -> None:
    assert kind(Phase.RCPT, code, text) is Throttled


@pytest.mark.parametrize("phase", [*BEFORE_A_MAIL, *TRANSACTION])
@pytest.mark.parametrize("code", [400, 450, 451, 452, 454])
def test_4xx_is_temporary_for_a_mail_and_unavailable_before_any(phase: Phase, code: int) -> None:
    expected = Unavailable if phase in BEFORE_A_MAIL else Temporary

    assert kind(phase, code, "4.3.0 later") is expected


@pytest.mark.parametrize("phase", [*BEFORE_A_MAIL, *TRANSACTION])
@pytest.mark.parametrize("code", [530, 534, 535, 538])
def test_refused_credentials_are_our_own_fault(phase: Phase, code: int) -> None:
    assert kind(phase, code, "5.7.0 authenticate first") is Misconfigured


@pytest.mark.parametrize("phase", BEFORE_A_MAIL)
def test_refusal_before_any_mail_is_about_us(phase: Phase) -> None:
    assert kind(phase, 554, "5.7.1 your address is listed") is Misconfigured
    assert kind(phase, 550, "5.1.1 whoever that is") is Misconfigured
    assert kind(phase, 500, "what?") is Misconfigured


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (554, "5.7.1 <ada@example.org>: Relay access denied"),
        (454, "4.7.1 <ada@example.org>: Relay access denied"),
        (550, "5.7.1 Unable to relay"),
        (550, "5.7.1 Relaying denied. Proper authentication required."),
        (550, "relay not permitted"),
        (550, "5.7.64 TenantAttribution; Relay Access Denied"),
        (553, "we do not relay"),
    ],
)
def test_denied_relaying_is_our_own_fault(code: int, text: str) -> None:
    assert kind(Phase.RCPT, code, text) is Misconfigured


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (550, "5.1.1 <relay-denied@example.org>: User unknown", Bounced),
        (550, "relay.not.permitted@example.org: no such user", Bounced),
        (450, "4.2.1 <relay-prohibited@example.org>: try later", Temporary),
        (550, "5.7.1 <ada@relay-denied.example>: no thanks", Permanent),
    ],
)
def test_what_an_address_says_is_not_what_the_relay_says(
    code: int, text: str, expected: type[Outcome]
) -> None:
    assert kind(Phase.RCPT, code, text) is expected


def test_refused_sender_is_the_channels_fault_or_the_payloads() -> None:
    refusal = (Phase.MAIL, 553, "5.7.1 sender address rejected: not owned by user")

    assert kind(*refusal, has_channels_sender=True) is Misconfigured
    assert kind(*refusal, has_channels_sender=False) is Permanent


def test_mail_that_is_too_large_is_not_the_senders_fault() -> None:
    assert kind(Phase.MAIL, 552, "too big") is Permanent
    assert kind(Phase.MAIL, 554, "5.3.4 too big") is Permanent


@pytest.mark.parametrize("phase", TRANSACTION)
@pytest.mark.parametrize("code", [500, 502, 503, 504])
def test_muddled_conversation_may_go_better_next_time(phase: Phase, code: int) -> None:
    assert kind(phase, code, "5.5.1 bad sequence") is Temporary


@pytest.mark.parametrize("code", [-1, 0, 199, 354, 600])
def test_nonsense_is_uncertain_after_the_final_dot_only(code: int) -> None:
    assert kind(Phase.CONTENT, code) is Uncertain
    assert kind(Phase.RCPT, code) is Temporary
    assert kind(Phase.CONNECT, code) is Unavailable or code // 100 == 2


def test_code_that_contradicts_the_reply_is_not_believed() -> None:
    assert kind(Phase.RCPT, 450, "5.1.1 no such user") is Temporary
    assert kind(Phase.RCPT, 550, "4.7.28 too many") is Permanent


def test_success_tells_code_and_queue_id() -> None:
    outcome = judge(Phase.CONTENT, Reply(250, "2.0.0 Ok: queued as 4cLqW81"), RELAY)

    assert isinstance(outcome, Succeeded)
    assert outcome.status_code == 250
    assert outcome.provider_message_id == "4cLqW81"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2.0.0 Ok: queued as 4cLqW81", "4cLqW81"),
        ("OK id=1tG3aB-0000Xy-2c", "1tG3aB-0000Xy-2c"),
        ("2.6.0 <a@b> Queued mail for delivery", None),
        ("OK", None),
    ],
)
def test_queue_id_is_read_where_it_is_known(text: str, expected: str | None) -> None:
    assert queue_id(Reply(250, text)) == expected


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("4.2.0 Greylisted for 300 seconds", 300),
        ("4.7.1 try again in 5 minutes", 300),
        ("retry after 1h", 3600),
        ("try again later", None),
        ("in 3 mailboxes", None),
    ],
)
def test_wait_is_read_from_a_refusal(text: str, seconds: int | None) -> None:
    wait = wait_asked_for(text)

    assert wait == (None if seconds is None else timedelta(seconds=seconds))


def test_detail_names_relay_code_and_phase() -> None:
    outcome = judge(Phase.RCPT, Reply(550, "5.1.1 no such user"), RELAY)

    assert outcome.detail == "relay.test:587 answered 550 5.1.1 to RCPT TO"
    assert outcome.status_code == 550
    assert outcome.response == "5.1.1 no such user"


@settings(deadline=None)
@given(st.sampled_from(Phase), st.integers(min_value=-1, max_value=999), st.text(max_size=100))
def test_any_answer_is_an_outcome(phase: Phase, code: int, text: str) -> None:
    outcome = judge(phase, Reply(code, text), RELAY)

    assert type(outcome) is not Outcome
    assert isinstance(outcome, Succeeded) == (phase is Phase.CONTENT and is_accepted(phase, code))
    wait = getattr(outcome, "retry_after", None)
    assert wait is None or wait <= LONGEST_RETRY_AFTER
