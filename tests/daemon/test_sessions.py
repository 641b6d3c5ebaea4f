"""The daemon's sessions when the network, the server's role or a pooler is against them."""

import os
from collections.abc import AsyncIterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import asyncpg
import databases
import pytest
from endpoint_client import ANY_PORT, address_of, scrape, value
from engine import Connection, check_invariants, insert
from logins import login
from pooler import pooled
from running import WEBHOOK, Daemon, eventually, running
from stalling_proxy import Flow, Proxy, proxied, with_hosts
from standby import promote, standby_of

from chimewayd import embedded, migrate
from chimewayd import session as session_module
from chimewayd.dsn import parse
from chimewayd.errors import DatabaseUnavailable
from chimewayd.session import Session
from chimewayd.target import Place
from chimewayd.testing.receiver import Receiver

pytestmark = pytest.mark.anyio

ASLEEP = """
select count(*) from pg_stat_activity
where application_name = 'chimewayd/claims' and datname = current_database()
  and state = 'idle' and query like '%next_due%'
"""
END_SESSIONS = """
select pg_terminate_backend(pid) from pg_stat_activity
where application_name like 'chimewayd/%' and datname = current_database()
"""
END_LISTENER = END_SESSIONS.replace("chimewayd/%", "chimewayd/listener")
ATTEMPTS_FILE = "select pg_relation_filepath('chimeway.delivery_attempts')"
CONNECTED = "listener_connected"
DEAF = "listener_deaf"


@pytest.fixture
async def proxy(dsn: str) -> AsyncIterator[Proxy]:
    async with proxied(dsn) as running_proxy:
        yield running_proxy


@pytest.fixture
async def primary() -> AsyncIterator[tuple[embedded.Server, ExitStack]]:
    """A migrated server of the test's own, and what stops it."""
    with ExitStack() as stack:
        version = databases.wanted_version(os.environ)
        server = stack.enter_context(embedded.server(version=version))
        connection = await asyncpg.connect(server.dsn)
        await migrate.apply(connection)
        await connection.close()
        yield server, stack


def place_of(dsn: str) -> Place:
    return parse(dsn, {}).places[0]


async def deliver(daemon: Daemon, dsn: str, hooks: Receiver) -> None:
    """Insert a delivery and wait until it went out."""
    count, recorded = len(hooks.requests), len(daemon.of("attempt_recorded"))
    connection = await asyncpg.connect(dsn)
    try:
        await insert(connection, channel="hooks", recipient=hooks.url)
    finally:
        await connection.close()
    await daemon.said("attempt_recorded", recorded + 1)
    assert len(hooks.requests) == count + 1


async def test_session_whose_peer_is_silent_is_given_up_and_opened_anew(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "CALL_TIMEOUT", 0.2)
    async with Session(proxy.dsn, "claims") as session:
        await session.fetch("select 1")
        [silent] = proxy.links("chimewayd/claims")
        silent.set(Flow.STALL)

        with anyio.fail_after(10), pytest.raises(DatabaseUnavailable, match="lost the database"):
            await session.fetch("select 1")

        monkeypatch.setattr(session_module, "CALL_TIMEOUT", 10.0)
        assert [tuple(row) for row in await session.fetch("select 2")] == [(2,)]


async def test_silence_that_one_session_met_is_not_met_again_by_the_others(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "CALL_TIMEOUT", 0.2)
    async with Session(proxy.dsn, "claims") as claims, Session(proxy.dsn, "records") as records:
        for link in proxy.links():
            link.set(Flow.STALL)

        with anyio.fail_after(10), pytest.raises(DatabaseUnavailable):
            await claims.fetch("select 1")

        assert [tuple(row) for row in await records.fetch("select 2")] == [(2,)]


async def test_service_file_that_goes_away_later_is_waited_for(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, parts = place_of(dsn), urlsplit(dsn)
    file = tmp_path / "services"
    service = f"[ours]\nhost={place.host}\nport={place.port}\ndbname={parts.path[1:]}\n"
    file.write_text(service)
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    url = f"postgresql://{parts.netloc.rpartition('@')[0]}@?service=ours"
    async with Session(url, "claims") as session:
        file.unlink()
        session.drop()

        with pytest.raises(DatabaseUnavailable, match="service ours"):
            await session.fetch("select 1")

        file.write_text(service)
        assert [tuple(row) for row in await session.fetch("select 2")] == [(2,)]


@pytest.mark.long
async def test_delivery_goes_out_though_the_claims_are_stalled_on_the_way(
    dsn: str, proxy: Proxy, connection: Connection, hooks: Receiver
) -> None:
    async with running(proxy.dsn, {"hooks": WEBHOOK}, poll_interval="200ms") as daemon:
        await eventually(partial(connection.fetchval, ASLEEP), 1)
        for link in proxy.links("chimewayd/claims"):
            link.set(Flow.STALL)
        await deliver(daemon, dsn, hooks)
        await daemon.said("database_restored")

    await check_invariants(connection)


@pytest.mark.parametrize("is_silent_first", [True, False])
async def test_daemon_starts_beside_a_host_that_is_silent(
    dsn: str, proxy: Proxy, hooks: Receiver, is_silent_first: bool
) -> None:
    proxy.set(Flow.STALL)
    places = [place_of(proxy.dsn), place_of(dsn)]
    url = with_hosts(dsn, *(places if is_silent_first else reversed(places)))

    async with running(url, {"hooks": WEBHOOK}) as daemon:
        await deliver(daemon, dsn, hooks)


@pytest.mark.parametrize("is_standby_first", [True, False])
async def test_daemon_follows_the_primary_through_a_failover(
    primary: tuple[embedded.Server, ExitStack], hooks: Receiver, is_standby_first: bool
) -> None:
    server, power = primary
    with standby_of(server) as standby:
        places = [place_of(server.dsn), place_of(standby.dsn)]
        url = with_hosts(server.dsn, *(reversed(places) if is_standby_first else places))
        async with running(url, {"hooks": WEBHOOK}) as daemon:
            await deliver(daemon, server.dsn, hooks)

            await anyio.to_thread.run_sync(power.close)
            [lost] = await daemon.said("database_lost")
            await promote(standby)
            await daemon.said("database_restored")
            await deliver(daemon, standby.dsn, hooks)

    assert lost["error"]


async def test_daemon_leaves_a_silent_primary_for_the_promoted_standby(
    primary: tuple[embedded.Server, ExitStack], hooks: Receiver
) -> None:
    server, _ = primary
    with standby_of(server) as standby:
        async with proxied(server.dsn) as proxy:
            url = with_hosts(server.dsn, place_of(proxy.dsn), place_of(standby.dsn))
            async with running(url, {"hooks": WEBHOOK}) as daemon:
                await deliver(daemon, server.dsn, hooks)

                proxy.set(Flow.STALL)
                await promote(standby)
                await deliver(daemon, standby.dsn, hooks)


async def test_server_that_takes_no_writes_is_waited_for(
    dsn: str, connection: Connection, hooks: Receiver
) -> None:
    name = await connection.fetchval("select current_database()")
    async with running(dsn, {"hooks": WEBHOOK}) as daemon:
        await connection.execute(f"alter database {name} set default_transaction_read_only = on")
        await connection.fetch(END_SESSIONS)
        await insert(connection, channel="hooks", recipient=hooks.url)
        await daemon.said("database_lost")
        assert not hooks.requests

        await connection.execute(f"alter database {name} reset default_transaction_read_only")
        await daemon.said("attempt_recorded")

    assert len(hooks.requests) == 1


async def test_disk_of_the_server_that_is_away_is_waited_for(
    primary: tuple[embedded.Server, ExitStack], hooks: Receiver
) -> None:
    """Of a call that was made nothing is lost: its outcome stays in memory."""
    server, _ = primary
    connection = await asyncpg.connect(server.dsn)
    directory = Path(await connection.fetchval("show data_directory"))
    file = directory / await connection.fetchval(ATTEMPTS_FILE)
    async with running(server.dsn, {"hooks": WEBHOOK}) as daemon:
        # The sessions that record have not opened it yet, and would not miss it if they had.
        away = file.rename(file.with_suffix(".away"))
        await insert(connection, channel="hooks", recipient=hooks.url)
        [lost] = await daemon.said("database_lost")
        away.rename(file)
        await daemon.said("attempt_recorded")
    await connection.close()

    assert "could not open file" in lost["error"]
    assert len(hooks.requests) == 1


async def test_daemon_with_a_deaf_listener_says_so_and_delivers_by_the_poll(
    dsn: str, empty_dsn: str, hooks: Receiver
) -> None:
    async with running(
        dsn, {"hooks": WEBHOOK}, listen_dsn=empty_dsn, poll_interval="200ms"
    ) as daemon:
        [line] = await daemon.said(DEAF)
        await deliver(daemon, dsn, hooks)

    assert line["level"] == "warning"
    assert "listen_dsn" in line["hint"]


async def test_session_knows_whether_it_is_pooled(dsn: str) -> None:
    with pooled(dsn) as pooled_dsn:
        async with Session(dsn, "upkeep") as direct, Session(pooled_dsn, "upkeep") as through:
            assert (direct.is_pooled, through.is_pooled) == (False, True)


async def test_daemon_behind_a_transaction_pooler_notices_that_it_is_deaf(
    dsn: str, connection: Connection, hooks: Receiver
) -> None:
    with pooled(dsn) as pooled_dsn:
        async with running(pooled_dsn, {"hooks": WEBHOOK}, poll_interval="200ms") as daemon:
            await daemon.said(DEAF)
            for _ in range(5):
                await deliver(daemon, pooled_dsn, hooks)

    await check_invariants(connection)


async def test_daemon_behind_a_pooler_hears_by_a_direct_listener(
    dsn: str, connection: Connection, hooks: Receiver
) -> None:
    with pooled(dsn) as pooled_dsn:
        async with running(
            pooled_dsn, {"hooks": WEBHOOK}, listen_dsn=dsn, poll_interval="60s"
        ) as daemon:
            for _ in range(3):
                await deliver(daemon, dsn, hooks)
            stopped = await daemon.stop()

    assert DEAF not in stopped.events()
    assert "database_lost" not in stopped.events()
    await check_invariants(connection)


async def test_listener_that_gets_no_session_is_no_outage(
    dsn: str, connection: Connection, hooks: Receiver
) -> None:
    async with login(dsn, "chimeway_daemon") as own:
        limit = f"alter role {urlsplit(own).username} connection limit"
        async with running(own, {"hooks": WEBHOOK}, http_listen=ANY_PORT) as daemon:
            address = await address_of(daemon)
            await connection.execute(f"{limit} 5")
            await connection.fetch(END_LISTENER)
            [_, lost] = await daemon.said("listener_lost", 2)
            await deliver(daemon, dsn, hooks)
            figures = await scrape(address)
            await connection.execute(f"{limit} -1")
            await daemon.said(CONNECTED, 2)
            stopped = await daemon.stop()

    assert "too many connections" in lost["error"]
    assert value(figures, "chimewayd_database_up") == 1
    assert value(figures, "chimewayd_listener_connected") == 0
    assert "database_lost" not in stopped.events()
