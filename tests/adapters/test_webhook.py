"""The webhook adapter against a real receiver."""

import base64
import json
from collections.abc import Mapping
from datetime import timedelta

import pytest
from standardwebhooks import Webhook

from chimewayd.adapters import make
from chimewayd.adapters.evidence import EXCERPT_LIMIT_BYTES
from chimewayd.models import (
    Delivery,
    Outcome,
    Permanent,
    Succeeded,
    Temporary,
    Throttled,
    Unsubscribed,
)
from chimewayd.testing.receiver import HERE, Answer, Receiver, receiver

pytestmark = pytest.mark.anyio

SECRET = "whsec_" + base64.b64encode(b"a key of thirty-two bytes, no le").decode()
LONG = timedelta(seconds=10)


async def attempt(
    delivery: Delivery,
    url: str,
    settings: Mapping[str, object] | None = None,
    within: timedelta = LONG,
    payload_json: str = "{}",
) -> Outcome:
    async with make("hooks", "webhook", {**HERE, **(settings or {})}, within) as adapter:
        return await adapter.deliver(delivery._replace(recipient=url, payload_json=payload_json))


async def test_request_carries_the_payload_byte_for_byte_and_our_headers(
    delivery: Delivery,
) -> None:
    body = '{"b":1,  "a": "ü", "n": 12345678901234567890123}'
    async with receiver() as hooks:
        outcome = await attempt(delivery, hooks.url + "/x?y=1", payload_json=body)

    assert isinstance(outcome, Succeeded)
    assert outcome.status_code == 200
    (request,) = hooks.requests
    assert (request.method, request.path, request.body) == ("POST", "/x?y=1", body.encode())
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Accept-Encoding"] == "identity"
    assert request.headers["User-Agent"].startswith("chimewayd/")
    assert request.headers["webhook-id"] == str(delivery.delivery_id)
    assert abs(int(request.headers["webhook-timestamp"]) - request.at.timestamp()) < 60
    assert "webhook-signature" not in request.headers


async def test_signature_is_verified_by_the_reference_library(delivery: Delivery) -> None:
    async with receiver() as hooks:
        await attempt(delivery, hooks.url, {"secret": SECRET}, payload_json='{"total": 12.50}')

    (request,) = hooks.requests
    assert Webhook(SECRET).verify(request.body, dict(request.headers)) == {"total": 12.5}


async def test_static_headers_and_method_are_sent(delivery: Delivery) -> None:
    async with receiver() as hooks:
        await attempt(
            delivery, hooks.url, {"method": "PATCH", "headers": {"Authorization": "Bearer abc"}}
        )

    (request,) = hooks.requests
    assert request.method == "PATCH"
    assert request.headers["Authorization"] == "Bearer abc"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, Succeeded),
        (204, Succeeded),
        (299, Succeeded),
        (304, Permanent),
        (400, Temporary),
        (401, Temporary),
        (403, Temporary),
        (404, Temporary),
        (408, Temporary),
        (410, Unsubscribed),
        (422, Temporary),
        (425, Temporary),
        (429, Throttled),
        (500, Temporary),
        (503, Temporary),
        (599, Temporary),
    ],
)
async def test_each_status_has_its_meaning(
    delivery: Delivery, status: int, kind: type[Outcome]
) -> None:
    async with receiver() as hooks:
        hooks.script("/", Answer(status=status, body=b"" if status in (204, 304) else b"because"))
        outcome = await attempt(delivery, hooks.url + "/")

    assert type(outcome) is kind
    assert outcome.status_code == status
    assert outcome.response == (None if status in (204, 304) else "because")
    assert len(hooks.requests) == 1


async def test_listed_permanent_statuses_are_not_retried(delivery: Delivery) -> None:
    async with receiver() as hooks:
        hooks.script("/", 422)
        outcome = await attempt(delivery, hooks.url + "/", {"permanent_statuses": [422]})

    assert isinstance(outcome, Permanent)


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_taken_from_the_answer(delivery: Delivery, status: int) -> None:
    async with receiver() as hooks:
        hooks.script("/", Answer(status=status, headers={"retry-after": "90"}))
        outcome = await attempt(delivery, hooks.url + "/")

    assert isinstance(outcome, Throttled | Temporary)
    assert outcome.retry_after == timedelta(seconds=90)


@pytest.mark.parametrize("status", [400, 404, 410, 429, 503])
@pytest.mark.parametrize(
    ("said", "suppress_gone", "kind"),
    [
        ("disable", True, Unsubscribed),
        (" Disable ", True, Unsubscribed),
        ("disable", False, Permanent),
        ("abort-message", False, Permanent),
    ],
)
async def test_receiver_that_wants_no_more_is_heard(
    delivery: Delivery, status: int, said: str, suppress_gone: bool, kind: type[Outcome]
) -> None:
    async with receiver() as hooks:
        hooks.script("/", Answer(status=status, headers={"Webhook-Delivery": said}))
        outcome = await attempt(delivery, hooks.url + "/", {"suppress_gone": suppress_gone})

    assert type(outcome) is kind
    assert outcome.status_code == status


async def test_receiver_that_wants_no_repeat_is_not_suppressed(delivery: Delivery) -> None:
    async with receiver() as hooks:
        hooks.script("/", Answer(status=500, headers={"Webhook-Delivery": "abort-message"}))
        outcome = await attempt(delivery, hooks.url + "/")

    assert isinstance(outcome, Permanent)


async def test_delivery_that_was_accepted_is_a_success_whatever_the_receiver_wants_next(
    delivery: Delivery,
) -> None:
    async with receiver() as hooks:
        hooks.script("/", Answer(headers={"webhook-delivery": "disable"}))
        outcome = await attempt(delivery, hooks.url + "/")

    assert isinstance(outcome, Succeeded)


async def test_payload_beyond_the_channels_limit_is_not_sent(delivery: Delivery) -> None:
    body = '"' + "x" * 1022 + '"'
    async with receiver() as hooks:
        fits = await attempt(delivery, hooks.url, {"payload_limit_kib": 1}, payload_json=body)
        over = await attempt(delivery, hooks.url, {"payload_limit_kib": 1}, payload_json=body + " ")

    assert isinstance(fits, Succeeded)
    assert isinstance(over, Permanent)
    assert over.detail == "the payload has 1025 bytes, payload_limit_kib allows 1 KiB"
    assert len(hooks.requests) == 1


async def test_redirect_is_not_followed(delivery: Delivery) -> None:
    async with receiver() as hooks, receiver() as witness:
        location = witness.url.replace("//", "//user:pass@") + "/there?token=t0ps3cret#f"
        hooks.script("/", Answer(status=307, headers={"Location": location}))
        outcome = await attempt(delivery, hooks.url + "/")

    assert isinstance(outcome, Permanent)
    assert outcome.detail is not None
    assert outcome.detail.startswith("redirect_not_followed: HTTP 307")
    assert outcome.detail.endswith(f"to {witness.url}/there")
    assert witness.requests == []


async def test_connection_is_kept_for_the_next_delivery(delivery: Delivery) -> None:
    adapter = make("hooks", "webhook", HERE, LONG)

    async with receiver() as hooks, adapter:
        hooks.script("/", Answer(body=b"thanks"))
        for _ in range(3):
            await adapter.deliver(delivery._replace(recipient=hooks.url + "/"))
        still_open = hooks.connections

    assert still_open == 1
    assert hooks.connections_ever == 1


async def test_huge_response_is_cut(delivery: Delivery) -> None:
    async with receiver() as hooks:
        hooks.script("/", Answer(status=500, body="é".encode() * 5_000_000))
        outcome = await attempt(delivery, hooks.url + "/")

    assert isinstance(outcome, Temporary)
    assert outcome.response is not None
    assert set(outcome.response) == {"é"}
    assert len(outcome.response.encode()) == EXCERPT_LIMIT_BYTES


async def test_response_is_cleaned_of_control_characters(delivery: Delivery) -> None:
    async with receiver() as hooks:
        hooks.script("/", Answer(status=500, body=b"no\x00\x1b[31m\r\nred\xff \xe2\x80\xaeevil"))
        outcome = await attempt(delivery, hooks.url + "/")

    assert outcome.response == "no [31m red\ufffd  evil"


async def test_compressed_answer_is_not_unpacked(delivery: Delivery) -> None:
    async with receiver() as hooks:
        hooks.script("/", Answer(headers={"Content-Encoding": "gzip"}, body=b"no gzip at all"))
        outcome = await attempt(delivery, hooks.url + "/")

    assert outcome.response == "no gzip at all"


async def test_cookies_are_not_kept(delivery: Delivery) -> None:
    adapter = make("hooks", "webhook", HERE, LONG)

    async with receiver() as hooks, adapter:
        hooks.script("/", Answer(headers={"Set-Cookie": "a=b"}))
        url = hooks.url.replace("127.0.0.1", "localhost") + "/"
        await adapter.deliver(delivery._replace(recipient=url))
        await adapter.deliver(delivery._replace(recipient=url))

    assert [request.headers.get("Cookie") for request in hooks.requests] == [None, None]


async def test_proxy_of_the_environment_is_not_used(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiver() as hooks, receiver() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        await attempt(delivery, hooks.url)

    assert (len(hooks.requests), proxy.requests) == (1, [])


async def test_echoed_headers_and_query_are_redacted(delivery: Delivery) -> None:
    async with receiver() as hooks:
        await _echo(hooks)
        outcome = await attempt(
            delivery,
            hooks.url + "/?token=t0ps3cret&a=1",
            {"secret": SECRET, "headers": {"Authorization": "Bearer c4nary-c4nary"}},
        )

    assert outcome.response is not None
    assert "c4nary" not in outcome.response
    assert "t0ps3cret" not in outcome.response
    assert "***" in outcome.response


async def _echo(hooks: Receiver) -> None:
    said = {"headers": {"authorization": "c4nary-c4nary"}, "args": {"token": "t0ps3cret"}}
    hooks.script("/", Answer(status=500, body=json.dumps(said).encode()))


@pytest.mark.parametrize(
    ("traceparent", "is_sent"),
    [("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", True), ("no trace", False)],
)
async def test_request_carries_the_trace_of_the_producer(
    delivery: Delivery, traceparent: str, is_sent: bool
) -> None:
    traced = delivery._replace(metadata_json=json.dumps({"traceparent": traceparent}))
    async with receiver() as hooks:
        await attempt(traced, hooks.url)

    (request,) = hooks.requests
    assert request.headers.get("traceparent") == (traceparent if is_sent else None)
