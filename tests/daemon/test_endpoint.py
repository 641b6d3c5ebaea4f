"""The HTTP endpoint of the running daemon: health, metrics, status."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from signal import SIGKILL, SIGTERM
from uuid import uuid4

import asyncpg
import pytest
from commands import chimewayd
from databases import Postgres
from endpoint_client import ANY_PORT, address_of, ask, scrape, value
from engine import Connection, insert
from gated import Gate
from running import WEBHOOK, eventually, running

from chimewayd.metrics import METRICS
from chimewayd.testing.receiver import Receiver

pytestmark = pytest.mark.anyio

SINK = {"sink": {"adapter": "sink"}}
TOKEN = "a-token-that-nobody-guesses"

ADMIT = "alter database {} allow_connections {}"
END_SESSIONS = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1"


async def status_of(address: str, path: str) -> int:
    return (await ask(address, path)).status


@pytest.fixture
async def idle(dsn: str) -> AsyncIterator[str]:
    """The address of a daemon that has nothing to do."""
    async with running(dsn, SINK, http_listen=ANY_PORT) as daemon:
        yield await address_of(daemon)


async def test_ready_daemon_says_that_it_is_alive_and_ready(idle: str) -> None:
    alive, ready = await ask(idle, "/livez"), await ask(idle, "/readyz")

    assert (alive.status, alive.text) == (200, "alive\n")
    assert (ready.status, ready.text) == (200, "ready\n")


async def test_daemon_without_the_setting_listens_nowhere(dsn: str) -> None:
    async with running(dsn, SINK) as daemon:
        stopped = await daemon.stop()

    assert "http_listening" not in stopped.events()


async def test_draining_daemon_is_alive_and_not_ready(
    dsn: str, connection: Connection, gate: Gate
) -> None:
    async with running(dsn, {"hooks": WEBHOOK}, http_listen=ANY_PORT) as daemon:
        address = await address_of(daemon)
        await insert(connection, channel="hooks", recipient=gate.url)
        await gate.until_under_way(1)
        daemon.signal(SIGTERM)
        await daemon.said("daemon_draining")

        alive, ready = await ask(address, "/livez"), await ask(address, "/readyz")

        gate.open()
        await daemon.ended()

    assert alive.status == 200
    assert ready.status == 503
    assert "stopping" in ready.text


async def test_daemon_without_its_database_is_alive_and_not_ready(
    dsn: str, connection: Connection, postgres: Postgres
) -> None:
    name = await connection.fetchval("select current_database()")
    admin = await asyncpg.connect(postgres.dsn)
    async with running(dsn, SINK, http_listen=ANY_PORT) as daemon:
        address = await address_of(daemon)
        await admin.execute(ADMIT.format(name, "false"))
        await admin.fetch(END_SESSIONS, name)
        await daemon.said("database_lost")

        alive, ready = await ask(address, "/livez"), await ask(address, "/readyz")
        figures = await scrape(address)

        await admin.execute(ADMIT.format(name, "true"))
        await admin.close()
        await daemon.said("database_restored")
        await eventually(lambda: status_of(address, "/readyz"), 200)

    assert alive.status == 200
    assert (ready.status, "the database is away" in ready.text) == (503, True)
    assert value(figures, "chimewayd_database_up") == 0
    assert value(figures, "chimewayd_queue_deliveries", channel="sink", state="due") is None


async def test_metrics_count_what_a_busy_host_sent_back(
    dsn: str, connection: Connection, gate: Gate
) -> None:
    channel = WEBHOOK | {"concurrency": 4, "host_concurrency": 1}
    async with running(dsn, {"hooks": channel}, http_listen=ANY_PORT) as daemon:
        address = await address_of(daemon)
        for _ in range(8):
            await insert(connection, channel="hooks", recipient=gate.url)
        await daemon.said("delivery_deferred")

        figures = await scrape(address)

    assert (value(figures, "chimewayd_deferred_total", channel="hooks") or 0) > 0
    assert value(figures, "chimewayd_attempts_total", channel="hooks", outcome="succeeded") == 0


async def test_metrics_count_what_was_delivered(
    dsn: str,
    connection: Connection,
    hooks: Receiver,
    all_ended: Callable[[], Awaitable[None]],
) -> None:
    hooks.script("/gone", 301)
    hooks.script("/busy", 503, 200)
    async with running(dsn, {"hooks": WEBHOOK}, http_listen=ANY_PORT) as daemon:
        address = await address_of(daemon)
        # Who is awake is not rung for.
        await eventually(
            lambda: connection.fetchval("select chimeway.is_bell_armed()"), wanted=True
        )
        for path in ("/", "/gone", "/busy"):
            await insert(connection, channel="hooks", recipient=hooks.url + path)
        await all_ended()
        await daemon.said("attempt_recorded", 4)

        figures = await scrape(address)

    def of(name: str, **labels: str) -> float | None:
        return value(figures, f"chimewayd_{name}", channel="hooks", **labels)

    assert of("attempts_total", outcome="succeeded") == 2
    assert of("attempts_total", outcome="temporary") == 1
    assert of("attempts_total", outcome="permanent") == 1
    assert of("deliveries_total", outcome="succeeded") == 2
    assert of("deliveries_total", outcome="permanent_failure") == 1
    assert of("attempt_duration_seconds_count") == 4
    assert of("attempt_duration_seconds_bucket", le="+Inf") == 4
    assert of("pickup_latency_seconds_count") == 3
    assert of("delivery_latency_seconds_count") == 2
    # One of the two waited for its retry.
    assert (of("delivery_latency_seconds_sum") or 0) > (of("pickup_latency_seconds_sum") or 0)
    assert of("queue_ended", status="cancelled") == 1
    assert of("in_hand") == 0
    assert value(figures, "chimewayd_notifications_total") != 0
    assert value(figures, "chimewayd_claim_batch_size_sum") == 4


async def test_metrics_show_the_queue(dsn: str, connection: Connection, gate: Gate) -> None:
    channel = WEBHOOK | {"concurrency": 1}
    async with running(dsn, {"hooks": channel}, http_listen=ANY_PORT, concurrency=1) as daemon:
        for _ in range(5):
            await insert(connection, channel="hooks", recipient=gate.url)
        await gate.until_under_way(1)

        figures = await scrape(await address_of(daemon))
        gate.open()

    def of(name: str, **labels: str) -> float | None:
        return value(figures, f"chimewayd_{name}", channel="hooks", **labels)

    due, in_flight = of("queue_deliveries", state="due"), of("queue_deliveries", state="in_flight")
    assert None not in (due, in_flight)
    assert (due or 0) + (in_flight or 0) == 5
    assert (of("in_flight"), of("concurrency_limit")) == (1, 1)
    assert (of("queue_oldest_due_age_seconds") or 0) > 0
    assert of("queue_daemons") == 1


async def test_every_metric_is_on_the_page(idle: str) -> None:
    page = await ask(idle, "/metrics")

    assert page.headers["Content-Type"].startswith("text/plain; version=")
    assert [metric.name for metric in METRICS if f"# TYPE {metric.name} " not in page.text] == []


async def test_scraper_that_wants_openmetrics_gets_it(idle: str) -> None:
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}

    page = await ask(idle, "/metrics", headers=accept)

    assert page.headers["Content-Type"].startswith("application/openmetrics-text")
    assert page.text.endswith("# EOF\n")


async def test_status_tells_the_same_as_json(
    dsn: str, connection: Connection, all_ended: Callable[[], Awaitable[None]]
) -> None:
    async with running(dsn, SINK, http_listen=ANY_PORT, name="mail-1") as daemon:
        address = await address_of(daemon)
        await insert(connection, channel="sink")
        await all_ended()
        await daemon.said("attempt_recorded")

        document = json.loads((await ask(address, "/status")).text)

    assert (document["name"], document["ready"]) == ("mail-1", True)
    assert document["channels"]["sink"]["attempts"] == {"succeeded": 1}
    assert document["queues"]["sink"]["succeeded"] == 1
    assert document["listener"]["connected"]


async def test_idle_daemon_asks_for_the_queue_only_when_somebody_looks(
    dsn: str, connection: Connection
) -> None:
    onlookers = (
        "select count(*) from pg_stat_activity where application_name = 'chimewayd/onlooker'"
        " and datname = current_database()"
    )
    async with running(dsn, SINK, http_listen=ANY_PORT) as daemon:
        address = await address_of(daemon)
        before = await connection.fetchval(onlookers)
        await ask(address, "/readyz")
        unasked = await connection.fetchval(onlookers)
        await ask(address, "/metrics")
        asked = await connection.fetchval(onlookers)

    assert (before, unasked, asked) == (0, 0, 1)


async def test_unix_socket_is_for_its_group_and_goes_with_the_daemon(
    dsn: str, tmp_path: Path
) -> None:
    path = tmp_path / "http"
    async with running(dsn, SINK, http_listen=f"unix:{path}") as daemon:
        address = await address_of(daemon)
        ready = await ask(address, "/readyz")
        mode = path.stat().st_mode & 0o777
        await daemon.stop()

    assert (ready.status, mode) == (200, 0o660)
    assert not path.exists()


async def test_socket_of_a_daemon_that_was_killed_is_taken_over(dsn: str, tmp_path: Path) -> None:
    path = tmp_path / "http"
    async with running(dsn, SINK, http_listen=f"unix:{path}") as daemon:
        await daemon.stop(SIGKILL)
    assert path.exists()

    async with running(dsn, SINK, http_listen=f"unix:{path}") as daemon:
        ready = await ask(await address_of(daemon), "/readyz")

    assert ready.status == 200


async def test_address_of_somebody_else_stops_the_start(idle: str, dsn: str) -> None:
    settings = {"DSN": dsn, "CHANNELS": json.dumps(SINK), "HTTP_LISTEN": idle}
    environment = {f"CHIMEWAYD_{name}": text for name, text in settings.items()}

    ended = await chimewayd("run", environment=environment)

    assert ended.exit_code == 78
    assert ended.stderr == (
        f"chimewayd: http_listen: cannot listen on {idle}: Address already in use; "
        "allowed: an address that is free\n"
    )


@pytest.mark.parametrize("path", ["/metrics", "/status"])
async def test_token_is_asked_for(dsn: str, path: str) -> None:
    async with running(dsn, SINK, http_listen=ANY_PORT, http_token=TOKEN) as daemon:
        address = await address_of(daemon)

        none = await ask(address, path)
        wrong = await ask(address, path, headers={"Authorization": f"Bearer {TOKEN}x"})
        right = await ask(address, path, headers={"Authorization": f"Bearer {TOKEN}"})
        probe = await ask(address, "/readyz")

    assert (none.status, wrong.status, right.status, probe.status) == (401, 401, 200, 200)
    assert none.headers["WWW-Authenticate"] == "Bearer"


async def test_name_that_may_be_anybodys_is_refused_without_a_token(idle: str) -> None:
    refused = await ask(idle, "/status", headers={"Host": "rebound.example"})
    allowed = await ask(idle, "/status", headers={"Host": "localhost:1"})

    assert (refused.status, allowed.status) == (421, 200)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_endpoint_only_reads(idle: str, method: str) -> None:
    assert [(await ask(idle, path, method)).status for path in ("/metrics", "/livez")] == [405] * 2


async def test_unknown_path_is_not_found(idle: str) -> None:
    answer = await ask(idle, f"/{uuid4()}")

    assert answer.status == 404
