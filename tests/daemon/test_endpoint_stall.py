"""/livez of a running daemon whose stage stands still."""

import pytest
import running as running_module
from endpoint_client import ANY_PORT, address_of, ask, scrape, value
from engine import Connection, insert
from running import running

pytestmark = pytest.mark.anyio

SINK = {"sink": {"adapter": "sink"}}


@pytest.mark.long
async def test_daemon_whose_stage_stands_still_says_that_it_is_not_alive(
    dsn: str, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_module, "WAIT_SECONDS", 50.0)
    name = await connection.fetchval("select pg_catalog.quote_ident(current_database())")
    await connection.execute(f"alter database {name} set chimeway.is_test = 'on'")
    stuck = {"CHIMEWAYD_FAILPOINTS": "before_record=hang"}
    quick = {"poll_interval": "100ms", "shutdown_grace": "0s"}

    async with running(dsn, SINK, stuck, http_listen=ANY_PORT, **quick) as daemon:
        address = await address_of(daemon)
        before = (await ask(address, "/livez")).status
        await insert(connection, channel="sink")
        await daemon.said("stage_stalled")

        alive = await ask(address, "/livez")
        figures = await scrape(address)

    assert before == 200
    assert (alive.status, "record" in alive.text) == (503, True)
    assert value(figures, "chimewayd_alive") == 0
