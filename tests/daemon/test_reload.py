"""SIGHUP on the real daemon: what is valid comes into force, and nothing in flight is dropped."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from signal import SIGHUP

import anyio
import pytest
from engine import Connection, check_invariants, insert, look
from gated import Gate
from running import Daemon, eventually, running

from chimewayd.testing.receiver import Receiver

pytestmark = pytest.mark.anyio

HERE = 'allow_networks = ["127.0.0.0/8"]'
POLITE = """
import pathlib
import anyio
from chimewayd.adapters.base import AdapterSettings
from chimewayd.models import Succeeded

class Polite:
    Settings = AdapterSettings

    def __init__(self, settings, timeout):
        pass

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        print("left", flush=True)

    async def deliver(self, delivery):
        print("called", flush=True)
        while not pathlib.Path("{go_on}").exists():
            await anyio.sleep(0.02)
        return Succeeded()
"""
SERVED = "select channels from chimeway.daemons"
UNDER_WAY = "select count(*) from chimeway.deliveries where status = 'dispatched'"


class Configuration:
    """A configuration file that is rewritten."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, *parts: str) -> None:
        self.path.write_text("\n".join(parts), "utf-8")

    @property
    def environment(self) -> dict[str, str]:
        return {"CHIMEWAYD_CONFIG": str(self.path)}


@pytest.fixture
def file(tmp_path: Path) -> Configuration:
    """The file, not written yet."""
    return Configuration(tmp_path / "config.toml")


def channel(name: str, adapter: str, *lines: str, settings: str = "") -> str:
    table = [f"[channels.{name}]", f'adapter = "{adapter}"', *lines]
    here = HERE if adapter == "webhook" else ""
    return "\n".join([*table, f"[channels.{name}.settings]", here, settings, ""])


async def reload(daemon: Daemon, event: str = "config_reloaded") -> dict[str, object]:
    """Ask for a reload and return what the daemon says of it."""
    count = len(daemon.of(event))
    daemon.signal(SIGHUP)
    return (await daemon.said(event, count + 1))[-1]


async def test_channel_that_is_added_is_served_at_once(
    dsn: str, connection: Connection, file: Configuration
) -> None:
    file.write(channel("bin", "sink"))
    async with running(dsn, {}, file.environment, poll_interval="60s") as daemon:
        file.write(channel("bin", "sink"), channel("new", "sink"))
        said = await reload(daemon)
        delivery_id = await insert(connection, channel="new")
        await daemon.said("attempt_recorded", delivery_id=str(delivery_id))
        served = await connection.fetchval(SERVED)

    assert (said["added"], said["removed"], said["changed"]) == (["new"], [], [])
    assert served == ["bin", "new"]


async def test_channel_that_is_removed_ends_its_calls_and_gives_back_the_rest(
    dsn: str, connection: Connection, file: Configuration, gate: Gate
) -> None:
    file.write(channel("bin", "sink"), channel("hooks", "webhook", "concurrency = 1"))
    async with running(dsn, {}, file.environment) as daemon:
        ids = [await insert(connection, channel="hooks", recipient=gate.url) for _ in range(2)]
        await gate.until_under_way(1)
        await eventually(lambda: connection.fetchval(UNDER_WAY), 2)
        file.write(channel("bin", "sink"))
        await reload(daemon)
        await daemon.said("delivery_released")
        gate.open()
        await daemon.said("attempt_recorded")
        # Another channel goes on, and this one stays untouched.
        other = await insert(connection, channel="bin")
        await daemon.said("attempt_recorded", delivery_id=str(other))
        states = sorted([(await look(connection, i))["status"] for i in ids])
        served = await connection.fetchval(SERVED)
        stopped = await daemon.stop()

    assert states == ["pending", "succeeded"]
    assert len(gate.arrived) == 1
    assert served == ["bin"]
    assert stopped.exit_code == 0
    await check_invariants(connection)


async def test_adapter_of_a_channel_that_is_removed_is_left_when_its_calls_have_ended(
    dsn: str, connection: Connection, file: Configuration, tmp_path: Path
) -> None:
    go_on = tmp_path / "go_on"
    (tmp_path / "polite.py").write_text(POLITE.format(go_on=go_on))
    distribution = tmp_path / "polite-1.0.dist-info"
    distribution.mkdir()
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: polite\nVersion: 1.0\n")
    (distribution / "entry_points.txt").write_text("[chimewayd.adapters]\npolite = polite:Polite\n")
    environment = file.environment | {"PYTHONPATH": str(tmp_path)}
    file.write(channel("bin", "sink"), channel("guest", "polite"))
    async with running(dsn, {}, environment) as daemon:
        await insert(connection, channel="guest")
        await daemon.printed("called")
        file.write(channel("bin", "sink"))
        await reload(daemon)
        early = "left" in daemon.other_output
        go_on.touch()
        await daemon.said("attempt_recorded", outcome="succeeded")
        await daemon.printed("left")

    assert not early


async def test_changed_settings_are_those_of_new_calls_and_old_calls_end_as_they_began(
    dsn: str, connection: Connection, file: Configuration, gate: Gate
) -> None:
    file.write(channel("hooks", "webhook", settings='headers = { "x-of" = "old" }'))
    async with running(dsn, {}, file.environment) as daemon:
        first = await insert(connection, channel="hooks", recipient=gate.url)
        await gate.until_under_way(1)
        file.write(channel("hooks", "webhook", settings='headers = { "x-of" = "new" }'))
        said = await reload(daemon)
        second = await insert(connection, channel="hooks", recipient=gate.url)
        await gate.until_under_way(2)
        gate.open()
        for delivery_id in (first, second):
            await daemon.said("attempt_recorded", delivery_id=str(delivery_id))

    by_id = {hook.headers["webhook-id"]: hook.headers["x-of"] for hook in gate.requests}
    assert said["changed"] == ["hooks"]
    assert by_id == {str(first): "old", str(second): "new"}


async def test_policy_of_a_channel_is_the_database_s_before_the_reload_is_over(
    dsn: str, connection: Connection, file: Configuration
) -> None:
    file.write(channel("bin", "sink"))
    async with running(dsn, {}, file.environment) as daemon:
        file.write(channel("bin", "sink", "retry = { max_attempts = 9 }"))
        await reload(daemon)
        attempts = await connection.fetchval(
            "select max_attempts from chimeway.channels where name = 'bin'"
        )

    assert attempts == 9


async def test_higher_limit_lets_more_calls_begin_and_a_lower_one_fewer(
    dsn: str, connection: Connection, file: Configuration, gate: Gate
) -> None:
    file.write(channel("hooks", "webhook", "concurrency = 1"))
    async with running(dsn, {}, file.environment) as daemon:
        for _ in range(6):
            await insert(connection, channel="hooks", recipient=gate.url)
        await gate.until_under_way(1)
        file.write(channel("hooks", "webhook", "concurrency = 3"))
        await reload(daemon)
        await gate.until_under_way(3)
        file.write(channel("hooks", "webhook", "concurrency = 1"))
        await reload(daemon)
        gate.open()
        await daemon.said("attempt_recorded", 6)

    assert gate.most["all"] == 3
    await check_invariants(connection)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ("[channels.bin\n", "not valid TOML"),
        ('[channels.bin]\nadapter = "sinc"\n', "no adapter is called 'sinc'"),
        ('[channels.bin]\nadapter = "sink"\nconcurency = 1\n', "did you mean"),
        ("", "is empty"),
    ],
)
async def test_wrong_configuration_is_refused_loudly_and_the_old_one_serves(
    dsn: str, connection: Connection, file: Configuration, wrong: str, named: str
) -> None:
    file.write(channel("bin", "sink"))
    async with running(dsn, {}, file.environment) as daemon:
        file.write(wrong)
        refused = await reload(daemon, "config_refused")
        delivery_id = await insert(connection, channel="bin")
        await daemon.said("attempt_recorded", delivery_id=str(delivery_id))
        file.write(channel("bin", "sink"), channel("new", "sink"))
        reloaded = await reload(daemon)

    assert refused["level"] == "error"
    assert named in str(refused["reason"])
    assert reloaded["added"] == ["new"]


async def test_setting_that_needs_a_restart_is_named(dsn: str, file: Configuration) -> None:
    file.write(channel("bin", "sink"))
    async with running(dsn, {}, file.environment) as daemon:
        file.write('lease = "90s"', channel("bin", "sink"))
        await reload(daemon)
        (said,) = await daemon.said("config_needs_restart")

    assert said["settings"] == ["lease"]


async def test_log_level_is_that_of_the_new_configuration(
    dsn: str, connection: Connection, file: Configuration
) -> None:
    file.write('log_level = "error"', channel("bin", "sink"))
    environment = file.environment
    async with running(dsn, {}, environment | {"CHIMEWAYD_LOG_LEVEL": "info"}) as daemon:
        await reload(daemon)
        file.write(channel("bin", "sink"))
        await reload(daemon)
        delivery_id = await insert(connection, channel="bin")
        await daemon.said("attempt_recorded", delivery_id=str(delivery_id))


async def test_reloads_under_load_lose_and_repeat_nothing(
    dsn: str,
    connection: Connection,
    file: Configuration,
    hooks: Receiver,
    all_ended: Callable[[], Awaitable[None]],
) -> None:
    def write(number: int) -> None:
        settings = f'headers = {{ "x-of" = "{number}" }}'
        limit = f"concurrency = {1 + number % 7}"
        others = [channel(f"extra{number}", "sink")] if number % 2 else []
        file.write(channel("hooks", "webhook", limit, settings=settings), *others)

    write(0)
    async with running(dsn, {}, file.environment) as daemon:
        await connection.execute(
            "insert into chimeway.deliveries (channel, recipient, payload) "
            "select 'hooks', $1, '{}' from generate_series(1, 400)",
            hooks.url,
        )
        for number in range(1, 9):
            write(number)
            await reload(daemon)
        await all_ended()
        stopped = await daemon.stop()

    arrived = [hook.headers["webhook-id"] for hook in hooks.requests]
    assert stopped.exit_code == 0
    assert len(arrived) == len(set(arrived)) == 400
    await check_invariants(connection)


async def test_reload_while_the_database_is_away_waits_for_it(
    dsn: str, connection: Connection, file: Configuration
) -> None:
    file.write(channel("bin", "sink"))
    async with running(dsn, {}, file.environment) as daemon:
        async with connection.transaction():
            await connection.execute("lock table chimeway.channels in access exclusive mode")
            file.write(channel("bin", "sink"), channel("new", "sink"))
            daemon.signal(SIGHUP)
            await anyio.sleep(0.2)
            early = daemon.of("config_reloaded")
        await daemon.said("config_reloaded")

    assert early == []
