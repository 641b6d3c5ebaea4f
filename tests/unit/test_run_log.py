"""What an adapter, or a library below it, logs during a call says which call it was."""

import logging

import pytest
from deliveries import deliveries
from loglines import lines, restored_logging, started
from stage import scripted, stage, succeed

from chimewayd.models import Delivery, Outcome

pytestmark = pytest.mark.anyio


async def complain(delivery: Delivery) -> Outcome:
    logging.getLogger("some.library").warning("odd answer")
    return await succeed(delivery)


async def test_lines_during_a_call_carry_its_ids() -> None:
    with restored_logging():
        out = started()
        calls = deliveries(3)

        async with stage(scripted(complain)) as running:
            running.put(*calls)
            await running.reports(3)

    said = [(line["delivery_id"], line["channel"], line["attempt"]) for line in lines(out)]
    assert said == [(str(call.delivery_id), call.channel, 1) for call in calls]
