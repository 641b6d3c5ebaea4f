"""The Apprise adapter: its settings, messages and threads, and what its plug-ins' words mean."""

import json
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta

import anyio
import pytest
from structlog.testing import capture_logs
from yarl import URL

from chimewayd.adapters import make
from chimewayd.adapters.apprise_message import Message, read
from chimewayd.adapters.apprise_outcome import Line, judge
from chimewayd.errors import ConfigError
from chimewayd.models import (
    Delivery,
    Outcome,
    Permanent,
    Succeeded,
    Temporary,
    Throttled,
    TimedOut,
    Uncertain,
)
from chimewayd.testing.receiver import Answer, Fault, Receiver, receiver

pytestmark = [
    pytest.mark.anyio,
    # Apprise loads all its plug-ins at once, and with them libraries that are behind the times.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

LONG = timedelta(seconds=20)
WAIT_SECONDS = 10


@pytest.fixture
async def hooks() -> AsyncIterator[Receiver]:
    """A service that the plug-in for plain JSON calls."""
    async with receiver() as running:
        yield running


def url_of(hooks: Receiver, path: str = "/{recipient}") -> str:
    return f"json://{URL(hooks.url).authority}{path}"


async def send(
    delivery: Delivery,
    settings: Mapping[str, object],
    recipient: str = "ada",
    payload: str = '{"text": "Hello"}',
) -> Outcome:
    async with make("long-tail", "apprise", settings, LONG) as adapter:
        return await adapter.deliver(delivery._replace(recipient=recipient, payload_json=payload))


async def test_message_goes_to_the_recipient_in_the_url(
    hooks: Receiver, delivery: Delivery
) -> None:
    payload = '{"subject": "Hi", "markdown": "**Hello**", "type": "warning"}'

    outcome = await send(delivery, {"url": url_of(hooks)}, recipient="+49-é", payload=payload)

    assert isinstance(outcome, Succeeded)
    (request,) = hooks.requests
    assert request.path == "/+49-%C3%A9"
    sent = json.loads(request.body)
    assert (sent["title"], sent["message"], sent["type"]) == ("Hi", "**Hello**", "warning")


async def test_recipient_is_a_name_in_the_settings_first(
    hooks: Receiver, delivery: Delivery
) -> None:
    settings = {"url": url_of(hooks), "urls": {"ops": url_of(hooks, "/the/ops/room")}}

    await send(delivery, settings, recipient="ops")
    await send(delivery, settings, recipient="bob")

    assert [request.path for request in hooks.requests] == ["/the/ops/room", "/bob"]


@pytest.mark.parametrize(
    "recipient", ["a,b", "a b", "a/b", "a?to=b", "a%2Cb", "", "a\nb", "x" * 201]
)
async def test_recipient_that_could_be_two_is_refused(
    hooks: Receiver, delivery: Delivery, recipient: str
) -> None:
    outcome = await send(delivery, {"url": url_of(hooks)}, recipient=recipient)

    assert outcome == Permanent(detail="recipient cannot stand in a URL as one recipient")
    assert hooks.requests == []


async def test_recipient_without_a_name_is_refused_where_only_names_are_configured(
    hooks: Receiver, delivery: Delivery
) -> None:
    outcome = await send(delivery, {"urls": {"ops": url_of(hooks, "/ops")}}, recipient="bob")

    assert outcome == Permanent(detail="recipient is not one of the names in the setting urls")


@pytest.mark.parametrize("said", ["verify=no", "verify=0", "VERIFY=false", "x=1&%76erify=n"])
def test_url_that_checks_no_certificate_is_told_by_name(said: str) -> None:
    url = f"jsons://me:canary-password@example.org/{{recipient}}?{said}"
    settings = {"url": url, "urls": {"bad": url.format(recipient="x"), "good": "jsons://h/x"}}

    with capture_logs() as events:
        make("tail", "apprise", settings, LONG)

    told = [(line["event"], line["channel"], line["setting"]) for line in events]
    assert told == [("channel_unsafe", "tail", "urls.bad"), ("channel_unsafe", "tail", "url")]
    assert "canary" not in str(events)


def test_url_that_checks_certificates_is_not_told() -> None:
    with capture_logs() as events:
        make("tail", "apprise", {"url": "jsons://example.org/{recipient}?verify=yes"}, LONG)

    assert events == []


async def test_redirect_is_not_followed(hooks: Receiver, delivery: Delivery) -> None:
    hooks.script("/ada", Answer(status=302, headers={"Location": f"{hooks.url}/elsewhere"}))

    outcome = await send(delivery, {"url": url_of(hooks)})

    assert isinstance(outcome, Temporary)
    assert outcome.status_code == 302
    assert [request.path for request in hooks.requests] == ["/ada"]


async def test_connection_refused_is_temporary(delivery: Delivery) -> None:
    outcome = await send(delivery, {"url": "json://127.0.0.1:1/{recipient}"})

    assert isinstance(outcome, Temporary)


async def test_threads_that_hang_are_bounded_and_end_by_themselves(
    hooks: Receiver, delivery: Delivery
) -> None:
    hooks.default = Answer(fault=Fault.HANG_BEFORE_ANSWER)
    settings = {"url": url_of(hooks), "threads": 2}
    delivery = delivery._replace(payload_json='{"text": "Hello"}')
    before = set(threading.enumerate())
    outcomes: list[Outcome] = []

    async with make("x", "apprise", settings, timedelta(seconds=0.5)) as adapter:

        async def deliver() -> None:
            outcomes.append(await adapter.deliver(delivery))

        async with anyio.create_task_group() as calls:
            for _ in range(4):
                calls.start_soon(deliver)
        with anyio.fail_after(WAIT_SECONDS):
            await hooks.wait_until_disconnected()
            while set(threading.enumerate()) - before:  # noqa: ASYNC110 - nobody tells
                await anyio.sleep(0.01)
        hooks.default = Answer()
        after = await adapter.deliver(delivery)

    assert len(hooks.requests) == 2 + 1
    sent = [outcome.request_sent for outcome in outcomes if isinstance(outcome, TimedOut)]
    assert sorted(sent) == [False, False, True, True]
    assert isinstance(after, Succeeded)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({}, "url"),
        ({"url": "json://127.0.0.1/c4nary"}, "url"),
        ({"url": "json://c4nary{recipient}/"}, "url"),
        ({"url": "json://{recipient}.c4nary/"}, "url"),
        ({"url": "nonsense://c4nary/{recipient}"}, "url"),
        ({"url": "slack://c4nary/{recipient}"}, "url"),
        ({"urls": {"a": "syslog://c4nary"}}, "urls"),
        ({"urls": {"a": "dbus://"}}, "urls"),
        ({"urls": {"a": "vapid://c4nary@example.org/x?keyfile=/etc/passwd"}}, "urls"),
        ({"urls": {"a": "c4nary"}}, "urls"),
        ({"urls": {"a": "json://c4nary"}, "schemes": ["slack", "tgram"]}, "urls"),
        ({"urls": {"a": "json://c4nary"}, "schemes": []}, "schemes"),
        ({"urls": {"a": "json://c4nary"}, "threads": 0}, "threads"),
    ],
)
def test_wrong_setting_is_named_without_its_value(
    settings: Mapping[str, object], named: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        make("x", "apprise", settings, LONG)

    assert caught.value.setting == f"channels.x.settings.{named}"
    assert "c4nary" not in str(caught.value)


def test_scheme_of_this_machine_may_be_asked_for() -> None:
    make("x", "apprise", {"urls": {"a": "syslog://"}, "schemes": ["syslog"]}, LONG)


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ('{"cut": ', "cannot be read as JSON"),
        ("[]", "must be a JSON object"),
        ("{}", "must have one of text, markdown, html"),
        ('{"text": "a", "html": "b"}', "must have one of text, markdown, html"),
        ('{"text": ""}', "text must be a text that is not empty"),
        ('{"html": 5}', "html must be a text that is not empty"),
        ('{"text": "a", "subject": 5}', "subject must be a text"),
        ('{"text": "a", "type": "loud"}', "type must be one of info, success, warning, failure"),
        ('{"text": "a", "type": []}', "type must be one of info, success, warning, failure"),
        ('{"text": "a", "attachments": []}', "has a field that cannot be sent: attachments"),
    ],
)
def test_payload_that_is_no_message_is_refused(payload: str, said: str) -> None:
    assert read(payload) == Permanent(detail=f"payload: {said}")


def test_payload_is_read_as_a_message() -> None:
    assert read('{"html": "<p>", "subject": "Hi"}') == Message("Hi", "<p>", "html", "info")


def warned(text: str) -> Line:
    return Line(is_warning=True, text=text)


def noted(text: str) -> Line:
    return Line(is_warning=False, text=text)


REFUSED = warned("Failed to send X notification: Too Many, error=429.")
LOST = warned("A Connection error occurred sending X notification.")


@pytest.mark.parametrize(
    ("lines", "kind", "status"),
    [
        ([], Temporary, None),
        ([REFUSED], Throttled, 429),
        ([warned("Failed to send X notification: error=503.")], Temporary, 503),
        ([noted("the payload says error=429.")], Temporary, None),
        ([LOST], Uncertain, None),
        ([LOST, noted("Socket Exception: Read timed out.")], Uncertain, None),
        (
            [LOST, noted("Socket Exception: Max retries exceeded with url: /")],
            Temporary,
            None,
        ),
        ([LOST, noted("Socket Exception: [Errno 111] Connection refused")], Temporary, None),
    ],
)
def test_words_of_a_plug_in_are_judged_as_far_as_they_tell(
    lines: Sequence[Line], kind: type[Outcome], status: int | None
) -> None:
    outcome = judge(lines, (), was_accepted=False)

    assert type(outcome) is kind
    assert outcome.status_code == status
