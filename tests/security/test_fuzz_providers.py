"""Whatever a provider, a relay or a session says is an outcome: hypothesis says it."""

import json
import re
from datetime import timedelta
from typing import Any

import anyio
import pytest
from deliveries import delivery
from hypothesis import given, settings
from hypothesis import strategies as some
from provider_kinds import PROVIDERS

from chimewayd.adapters import make
from chimewayd.adapters.http_call import Answer, HttpAdapter
from chimewayd.adapters.smtp_outcome import Phase, Reply, judge
from chimewayd.listen import Ear
from chimewayd.models import Outcome

UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
TIMEOUT = timedelta(seconds=5)
TEXTS = some.text(some.characters(), max_size=100)
KEYS = some.sampled_from(
    (
        *("ok", "error", "code", "message", "description", "parameters", "retry_after"),
        *("migrate_to_chat_id", "result", "message_id", "id", "sid", "ts", "name", "status"),
        *("details", "errorCode", "access_token", "expires_in", "reason"),
    )
)
WORDS = some.sampled_from(
    (
        *("ratelimited", "invalid_auth", "UNREGISTERED", "UNAUTHENTICATED", "20003", "21610"),
        *("10003", "50001", "-1", "1e999"),
    )
)
LEAVES = some.one_of(
    some.none(), some.booleans(), some.integers(), some.floats(), TEXTS, WORDS, some.just([{}])
)
DOCUMENTS = some.recursive(
    LEAVES,
    lambda inner: some.one_of(
        some.lists(inner, max_size=3), some.dictionaries(KEYS, inner, max_size=6)
    ),
    max_leaves=12,
).map(lambda document: json.dumps(document).encode())
BODIES = some.one_of(some.binary(max_size=300), DOCUMENTS, WORDS.map(str.encode))
HEADERS = some.dictionaries(some.sampled_from(["Retry-After", "Location", "X"]), TEXTS)
STATUSES = some.one_of(
    some.integers(-1, 1000), some.sampled_from([200, 400, 401, 403, 404, 429, 500])
)

TOKEN = Answer(200, {}, b'{"access_token": "t0k3n", "expires_in": 3600}')


@pytest.mark.parametrize("provider", PROVIDERS)
@settings(deadline=None, max_examples=100)
@given(answer=some.builds(Answer, STATUSES, HEADERS, BODIES), has_token=some.booleans())
def test_any_answer_of_a_provider_is_an_outcome(
    provider: str, answer: Answer, has_token: bool
) -> None:
    given_settings, recipient = PROVIDERS[provider]
    adapter = make("a", provider, given_settings, TIMEOUT)
    assert isinstance(adapter, HttpAdapter)

    async def call(_method: str, _url: object, body: bytes, *_: Any, **__: Any) -> Answer:
        return TOKEN if has_token and b"assertion=" in body else answer

    # The network alone is left out: what it gives is what is judged.
    adapter.call = call  # type: ignore[method-assign,assignment]
    message = delivery(recipient=recipient, payload_json='{"text": "Hello"}')
    outcome = anyio.run(adapter.deliver, message)

    assert isinstance(outcome, Outcome)
    told = [getattr(outcome, name, None) or "" for name in ("detail", "response")]
    assert UNPRINTABLE.findall("".join(told)) == []
    retry_after = getattr(outcome, "retry_after", None)
    assert retry_after is None or timedelta() <= retry_after <= timedelta(days=366)


REPLIES = some.one_of(
    TEXTS,
    some.from_regex(r"\A[245]\.\d{1,3}\.\d{1,3} .{0,40}\Z"),
    some.from_regex(r"\A(try again in|after|for) \d{1,9} ?(s|min|hours)\Z"),
    some.from_regex(r"\A(queued as|id=)[\w.@<>-]{0,400}\Z"),
)


@settings(deadline=None, max_examples=300)
@given(
    phase=some.sampled_from(Phase),
    code=some.one_of(some.integers(-1, 999), some.integers(400, 560)),
    text=REPLIES,
    is_ours=some.booleans(),
)
def test_any_reply_of_a_relay_is_an_outcome(
    phase: Phase, code: int, text: str, is_ours: bool
) -> None:
    outcome = judge(
        phase, Reply(code, text), "relay:25", ["s3cr3t-word"], has_channels_sender=is_ours
    )

    assert isinstance(outcome, Outcome)
    assert UNPRINTABLE.findall(getattr(outcome, "response", None) or "") == []
    retry_after = getattr(outcome, "retry_after", None)
    assert retry_after is None or timedelta() <= retry_after <= timedelta(days=366)


@settings(deadline=None, max_examples=200)
@given(TEXTS)
def test_any_notification_but_our_own_token_is_no_answer_to_a_probe(payload: str) -> None:
    async def hear() -> tuple[bool, bool]:
        ear = Ear()
        ear.prepare()
        ear.hear(payload)
        heard_it = ear.has_heard
        ear.hear(ear.token)
        return heard_it, ear.has_heard

    assert anyio.run(hear) == (False, True)
