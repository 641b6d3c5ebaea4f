"""An address that is a key: whoever may read answers may not read recipients."""

from datetime import timedelta

import pytest

from chimewayd.adapters import make
from chimewayd.models import Delivery, Permanent, Temporary
from chimewayd.testing.receiver import HERE, Answer, receiver

pytestmark = pytest.mark.anyio

LONG = timedelta(seconds=10)
KEY = "c4nary%20in-the-coal-mine"


@pytest.mark.parametrize("spelt", [KEY, KEY.replace("%20", " ")])
async def test_page_of_an_error_that_names_the_address_is_kept_without_its_key(
    delivery: Delivery, spelt: str
) -> None:
    async with receiver() as hooks, make("hooks", "webhook", HERE, LONG) as adapter:
        hooks.default = Answer(status=404, body=f"Cannot POST /services/T012/{spelt}".encode())
        url = f"{hooks.url}/services/T012/{KEY}"
        outcome = await adapter.deliver(delivery._replace(recipient=url))

    assert isinstance(outcome, Temporary)
    assert outcome.response == "Cannot POST /services/T012/[redacted]"


async def test_redirect_to_the_same_place_is_named_without_its_key(delivery: Delivery) -> None:
    async with receiver() as hooks, make("hooks", "webhook", HERE, LONG) as adapter:
        hooks.default = Answer(status=301, headers={"Location": f"https://x.example/t/{KEY}"})
        outcome = await adapter.deliver(delivery._replace(recipient=f"{hooks.url}/t/{KEY}"))

    assert isinstance(outcome, Permanent)
    assert outcome.detail is not None
    assert outcome.detail.endswith(", to https://x.example/t/***")
