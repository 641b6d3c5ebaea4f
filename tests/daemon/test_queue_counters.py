"""What is called a counter never goes back, whatever is done to the queue between two looks."""

import pytest
from endpoint_client import ANY_PORT, Samples, address_of, ask, scrape, value
from engine import Connection, insert, look, operate
from prometheus_client.parser import text_string_to_metric_families
from running import eventually, running

pytestmark = pytest.mark.anyio

SINK = {"sink": {"adapter": "sink"}}
ENDED = {"channel": "sink", "status": "succeeded"}


async def counters_of_the_queue(address: str) -> Samples:
    page = await ask(address, "/metrics")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page.text)
        for sample in family.samples
        if family.type == "counter" and sample.name.startswith("chimewayd_queue_")
    }


async def test_replay_takes_nothing_from_a_counter(dsn: str, connection: Connection) -> None:
    delivery_id = await insert(connection, channel="sink")

    async def status() -> str:
        found: str = (await look(connection, delivery_id))["status"]
        return found

    # Two daemons, as each asks the database again only after a while.
    async with running(dsn, SINK, http_listen=ANY_PORT) as first:
        await eventually(status, "succeeded")
        address = await address_of(first)
        ended_before = value(await scrape(address), "chimewayd_queue_ended", **ENDED)
        before = await counters_of_the_queue(address)
    await operate(connection, "pause_channel", "sink", "why", "me")
    await operate(connection, "replay", delivery_id, "me", True)  # noqa: FBT003 - SQL's own
    async with running(dsn, SINK, http_listen=ANY_PORT) as second:
        address = await address_of(second)
        ended_after = value(await scrape(address), "chimewayd_queue_ended", **ENDED)
        after = await counters_of_the_queue(address)

    assert {name for name, count in before.items() if after[name] < count} == set()
    assert (ended_before, ended_after) == (1, 0)
