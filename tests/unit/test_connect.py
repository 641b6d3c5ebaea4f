"""Finding a server: several hosts, silent ones among them, standbys, poolers, and the socket."""

import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import anyio
import asyncpg
import databases
import pytest
from engine import Connection
from pooler import pooled
from stalling_proxy import Flow, Proxy, proxied, with_hosts
from standby import standby_of

from chimewayd import connect as connect_module
from chimewayd import embedded
from chimewayd.connect import Server
from chimewayd.dsn import parse
from chimewayd.errors import ConfigError, DatabaseUnavailable
from chimewayd.pooled import PROTECTIONS, is_pooled
from chimewayd.session import allow_long_statements, connect
from chimewayd.target import Place, SessionAttrs

pytestmark = pytest.mark.anyio

NOBODY_THERE = Place("/nonexistent", 5432)
WITHIN_SECONDS = 10
"""Far less than any connect timeout here."""

PRIMARY = Server(is_in_recovery=False, is_read_only=False, process_id=1)
READ_ONLY = Server(is_in_recovery=False, is_read_only=True, process_id=1)
STANDBY = Server(is_in_recovery=True, is_read_only=True, process_id=1)


def place_of(dsn: str) -> Place:
    return parse(dsn, {}).places[0]


@pytest.fixture
async def proxy(dsn: str) -> AsyncIterator[Proxy]:
    async with proxied(dsn) as running:
        yield running


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Place, Place]]:
    """A primary and its standby."""
    version = databases.wanted_version(os.environ)
    with embedded.server(version=version) as primary, standby_of(primary) as standby:
        yield place_of(primary.dsn), place_of(standby.dsn)


@pytest.mark.parametrize(
    ("wanted", "fit"),
    [
        (SessionAttrs.ANY, [PRIMARY, READ_ONLY, STANDBY]),
        (SessionAttrs.READ_WRITE, [PRIMARY]),
        (SessionAttrs.READ_ONLY, [READ_ONLY, STANDBY]),
        (SessionAttrs.PRIMARY, [PRIMARY, READ_ONLY]),
        (SessionAttrs.STANDBY, [STANDBY]),
        (SessionAttrs.PREFER_STANDBY, [STANDBY]),
    ],
)
def test_server_is_fit_for_what_libpq_says(wanted: SessionAttrs, fit: list[Server]) -> None:
    assert [s for s in (PRIMARY, READ_ONLY, STANDBY) if s.is_fit_for(wanted)] == fit


@pytest.mark.parametrize("is_silent_first", [True, False])
async def test_silent_host_does_not_keep_another_from_being_found(
    dsn: str, proxy: Proxy, is_silent_first: bool
) -> None:
    proxy.set(Flow.STALL)
    places = [place_of(proxy.dsn), place_of(dsn)]
    url = with_hosts(dsn, *(places if is_silent_first else reversed(places)))

    with anyio.fail_after(WITHIN_SECONDS):
        connection = await connect(url + "&connect_timeout=60", writes=True)

    assert await connection.fetchval("select 1") == 1
    await connection.close()


async def test_host_that_refuses_is_followed_by_the_next_at_once(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect_module, "STAGGER_SECONDS", 60)

    with anyio.fail_after(WITHIN_SECONDS):
        connection = await connect(with_hosts(dsn, NOBODY_THERE, place_of(dsn)))

    await connection.close()


async def test_only_one_of_the_sessions_that_were_opened_is_left(
    dsn: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect_module, "STAGGER_SECONDS", 0)
    places = [place_of(proxy.dsn)] * 5

    connection = await connect(with_hosts(dsn, *places))

    await proxy.until_open(1)
    await connection.close()
    await proxy.until_open(0)


async def test_search_that_is_cut_leaves_no_session_behind(proxy: Proxy) -> None:
    proxy.set(Flow.DROP_REPLIES)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(connect, proxy.dsn)
        await proxy.until_open(1)
        tasks.cancel_scope.cancel()

    await proxy.until_open(0)


async def test_silent_host_is_given_up_after_its_connect_timeout(proxy: Proxy) -> None:
    proxy.set(Flow.STALL)

    with pytest.raises(DatabaseUnavailable, match="no answer within 1 s"):
        await connect(proxy.dsn + "&connect_timeout=1")


async def test_what_each_host_answered_is_told(dsn: str) -> None:
    elsewhere = with_hosts(dsn, NOBODY_THERE, place_of(dsn)).replace("/chimewayd_test", "/no")

    with pytest.raises(DatabaseUnavailable) as caught:
        await connect(elsewhere)

    assert f"{NOBODY_THERE}: [Errno" in str(caught.value)
    assert f"{place_of(dsn)}: database" in str(caught.value)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize(
    ("attrs", "is_standby"),
    [("", False), ("read-write", False), ("primary", False), ("standby", True),
     ("read-only", True), ("prefer-standby", True)],
)  # fmt: skip
async def test_session_attrs_choose_between_primary_and_standby(
    pair: tuple[Place, Place], order: tuple[int, int], attrs: str, is_standby: bool
) -> None:
    url = with_hosts("postgresql://postgres@/postgres", *(pair[n] for n in order))

    connection = await connect(f"{url}&target_session_attrs={attrs}")

    assert await connection.fetchval("select pg_is_in_recovery()") is is_standby
    await connection.close()


async def test_primary_serves_where_a_standby_is_preferred_and_there_is_none(dsn: str) -> None:
    url = with_hosts(dsn, place_of(dsn), NOBODY_THERE)

    connection = await connect(f"{url}&target_session_attrs=prefer-standby")

    await connection.close()


async def test_standby_alone_is_refused_to_who_writes(pair: tuple[Place, Place]) -> None:
    url = with_hosts("postgresql://postgres@/postgres", pair[1])

    with pytest.raises(DatabaseUnavailable, match="a standby, in recovery; read-write is wanted"):
        await connect(url, writes=True)


async def test_read_only_database_is_refused_to_who_writes(
    dsn: str, connection: Connection
) -> None:
    name = await connection.fetchval("select current_database()")
    await connection.execute(f"alter database {name} set default_transaction_read_only = on")

    with pytest.raises(DatabaseUnavailable, match="a read-only primary"):
        await connect(dsn, writes=True)

    reader = await connect(dsn)
    await reader.close()


async def test_who_writes_cannot_ask_for_a_standby(dsn: str) -> None:
    with pytest.raises(ConfigError, match="target_session_attrs=standby"):
        await connect(f"{with_hosts(dsn, place_of(dsn))}&target_session_attrs=standby", writes=True)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [("", (1, 3, 2, 2, 7_000)), ("&keepalives_idle=9&tcp_user_timeout=700", (1, 9, 2, 2, 700))],
)
async def test_kernel_watches_over_the_socket(
    proxy: Proxy, parameters: str, expected: tuple[int, ...]
) -> None:
    connection = await connect(proxy.dsn + parameters)

    end = connection._transport.get_extra_info("socket")  # type: ignore[attr-defined] # asyncpg has no public way
    tcp = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
    options = [end.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in tcp]
    assert (end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), *options) == expected
    await connection.close()


async def test_keepalives_can_be_had_off(proxy: Proxy) -> None:
    connection = await connect(proxy.dsn + "&keepalives=0")

    end = connection._transport.get_extra_info("socket")  # type: ignore[attr-defined] # asyncpg has no public way
    assert end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0
    await connection.close()


IGNORING = "ignore_startup_parameters = " + ",".join([*PROTECTIONS, *connect_module.SERVER_SOCKET])


@pytest.mark.parametrize("more", ["", IGNORING], ids=["refuses settings", "ignores settings"])
async def test_statements_through_a_pooler_do_not_meet(dsn: str, more: str) -> None:
    with pooled(dsn, pool_size=1, more=more) as pooled_dsn:
        connections = [await connect(pooled_dsn) for _ in range(4)]
        answers: list[tuple[int, object]] = []

        async def ask(number: int, connection: asyncpg.Connection) -> None:
            for n in range(50):
                sent = number * 1000 + n
                sql = f"select $1::int, '{number}'"
                [row] = await connection.fetch(sql, sent)
                answers.append((sent, (row[0], row[1]) == (sent, str(number))))

        async with anyio.create_task_group() as tasks:
            for number, connection in enumerate(connections):
                tasks.start_soon(ask, number, connection)

        assert all(map(is_pooled, connections))
        assert len(answers) == 200
        assert all(is_own for _, is_own in answers)
        for connection in connections:
            connection.terminate()


async def test_direct_session_is_not_taken_for_a_pooled_one(dsn: str) -> None:
    connection = await connect(dsn)

    await allow_long_statements(connection)

    assert not is_pooled(connection)
    assert await connection.fetchval("select current_setting('statement_timeout')") == "10min"
    await connection.close()


async def test_settings_are_made_through_a_pooler_and_stay_with_nobody(dsn: str) -> None:
    setting = "select current_setting('statement_timeout')"
    with pooled(dsn, pool_size=1) as pooled_dsn:
        connection = await connect(pooled_dsn)
        before = await connection.fetchval(setting)
        await allow_long_statements(connection)
        after = await connection.fetchval(setting)
        stranger = await asyncpg.connect(pooled_dsn, statement_cache_size=0)

        assert (before, after) == ("7s", "10min")
        assert await stranger.fetchval(setting) == "0"

        connection.terminate()
        stranger.terminate()


async def test_pooled_session_goes_on_after_a_statement_that_failed(dsn: str) -> None:
    with pooled(dsn, pool_size=1) as pooled_dsn:
        connection = await connect(pooled_dsn)

        with pytest.raises(asyncpg.DivisionByZeroError):
            await connection.fetchval("select 1 / $1::int", 0)

        assert await connection.fetchval("select 1 / $1::int", 1) == 1
        await connection.execute("create table pair (n int unique)")
        await connection.execute("insert into pair values ($1)", 1)
        with suppress(asyncpg.UniqueViolationError):
            async with connection.transaction():
                await connection.execute("insert into pair values ($1)", 2)
                await connection.execute("insert into pair values ($1)", 1)
        assert await connection.fetchval("select count(*) from pair") == 1
        connection.terminate()
