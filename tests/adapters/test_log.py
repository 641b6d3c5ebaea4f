"""The log adapter, read through structlog's own capture."""

from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from chimewayd.adapters import make
from chimewayd.log import Event
from chimewayd.models import Delivery, Permanent, Succeeded

pytestmark = pytest.mark.anyio

TIMEOUT = timedelta(seconds=5)


async def test_line_names_the_payloads_keys_and_no_values(delivery: Delivery) -> None:
    delivery = delivery._replace(payload_json='{"subject": "c4nary", "text": ["c4nary"]}')

    with capture_logs() as lines:
        async with make("dev", "log", {}, TIMEOUT) as adapter:
            outcome = await adapter.deliver(delivery)

    assert isinstance(outcome, Succeeded)
    assert lines == [
        {
            "event": Event.DELIVERY_LOGGED,
            "log_level": "info",
            "channel": "hooks",
            "recipient": "ada",
            "delivery_id": str(delivery.delivery_id),
            "payload_keys": ["subject", "text"],
        }
    ]


async def test_payload_is_shown_on_demand(delivery: Delivery) -> None:
    with capture_logs() as lines:
        async with make("dev", "log", {"show_payload": True}, TIMEOUT) as adapter:
            await adapter.deliver(delivery)

    assert [line["payload"] for line in lines] == [{"subject": "Hi"}]


@pytest.mark.parametrize("payload", ["null", "[]", "1", '"text"', '{"cut": '])
async def test_payload_that_is_no_object_is_permanent(delivery: Delivery, payload: str) -> None:
    with capture_logs() as lines:
        async with make("dev", "log", {}, TIMEOUT) as adapter:
            outcome = await adapter.deliver(delivery._replace(payload_json=payload))

    assert isinstance(outcome, Permanent)
    assert outcome.detail is not None
    assert outcome.detail.startswith("payload ")
    assert lines == []


async def test_keys_are_bounded_in_number_and_length(delivery: Delivery) -> None:
    many = ", ".join(f'"{"k" * 300}{number}": 1' for number in range(200))

    with capture_logs() as lines:
        async with make("dev", "log", {}, TIMEOUT) as adapter:
            await adapter.deliver(delivery._replace(payload_json=f"{{{many}}}"))

    assert lines[0]["payload_keys"] == ["k" * 100] * 50
