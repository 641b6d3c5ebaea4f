"""The server is stopped, killed, away, or replaced by its standby."""

from collections.abc import Callable
from signal import SIGINT, SIGKILL, SIGQUIT

import anyio

from faults.cluster import Cluster, connected
from faults.proxy import Proxy, Wire, proxied
from faults.round import Case, Round

AWAY_SECONDS, AWAY_SECONDS_LONG = 20, 60
SERVER_KILLS = 20


async def crash_and_restart(round_: Round) -> None:
    """An immediate stop, or a kill of the postmaster; started again at once."""
    await round_.daemon()
    for _ in range(2):
        await round_.moment()
        await round_.cluster.stop(round_.random.choice([SIGQUIT, SIGKILL]))
        await round_.cluster.start()
        round_.recovers_from_now()
    await round_.moment()


async def lose_no_acknowledged(round_: Round) -> None:
    """Kills, while the producers ask not to wait for the disk: the trigger makes them wait."""
    await round_.daemon()
    for _ in range(SERVER_KILLS):
        await round_.moment(0.3, 1.0)
        await round_.cluster.stop(round_.random.choice([SIGQUIT, SIGKILL]))
        await round_.cluster.start()
        round_.recovers_from_now()
    await round_.moment()


async def away(round_: Round) -> None:
    """A fast stop, and for a while there is no server at all."""
    await round_.daemon()
    await round_.moment()
    await round_.cluster.stop(SIGINT)
    await anyio.sleep(AWAY_SECONDS_LONG if round_.is_long else AWAY_SECONDS)
    await round_.cluster.start()
    round_.recovers_from_now()
    await round_.moment()


async def away_at_stop(round_: Round) -> None:
    """SIGTERM while the server is away: the daemon ends all the same, within its bounds."""
    daemon = await round_.daemon(lease="8s")
    await round_.moment()
    await round_.cluster.stop(SIGINT)
    await round_.moment(0.1, 2)
    exit_status = await daemon.stop(20)
    round_.expect(exit_status == 0, f"exit status {exit_status}")
    round_.may_repeat()
    await round_.cluster.start()
    await daemon.start()
    round_.recovers_from_now()
    await round_.moment()


async def fail_over_from_silence(round_: Round) -> None:
    """The host of the primary says nothing any more: no RST, no refusal."""
    await _fail_over(round_, lambda wire: wire.set(Wire.STALL))


async def fail_over_from_refusal(round_: Round) -> None:
    """The host of the primary is there and nobody listens."""
    await _fail_over(round_, Proxy.close)


async def _fail_over(round_: Round, cut: Callable[[Proxy], None]) -> None:
    primary, standby = round_.cluster, await _standby(round_)
    async with connected(primary.dsn) as connection:
        await connection.execute("alter system set synchronous_standby_names = '*'")
        await connection.execute("select pg_reload_conf()")
    wires = [
        await round_.resources.enter_async_context(proxied(one.socket))
        for one in (primary, standby)
    ]
    hosts = ",".join(f"127.0.0.1:{wire.port}" for wire in wires)
    ways = "sslmode=disable&target_session_attrs=read-write&connect_timeout=3"
    await round_.daemon(dsn=f"postgresql://postgres@{hosts}/chimeway?{ways}")
    await round_.moment()
    cut(wires[0])
    await primary.stop(SIGKILL)
    async with connected(standby.dsn) as connection:
        await connection.execute("select pg_promote(true, 30)")
        await connection.execute("alter system set synchronous_standby_names = ''")
        await connection.execute("select pg_reload_conf()")
    round_.cluster = standby
    round_.recovers_from_now()
    await round_.moment(3, 4)


async def _standby(round_: Round) -> Cluster:
    standby = await round_.cluster.standby(round_.directory / "standby")
    round_.resources.callback(standby.end)
    return standby


CASES = (
    Case(
        "server-crash",
        "Postgres stopped at once or killed, twice, and restarted",
        crash_and_restart,
        starts_within=2,
    ),
    Case(
        "durability",
        f"{SERVER_KILLS} kills of the server, producers with synchronous_commit off",
        lose_no_acknowledged,
        rounds=1,
        long_rounds=3,
        deadline_seconds=200,
        starts_within=2,
        producers={"synchronous_commit": "off"},
    ),
    Case(
        "server-away",
        f"Postgres away for {AWAY_SECONDS} s (long: {AWAY_SECONDS_LONG} s)",
        away,
        starts_within=2,
        deadline_seconds=200,
    ),
    Case(
        "server-away-term",
        "SIGTERM while Postgres is away, lease 8s",
        away_at_stop,
        recovers_within=15,
    ),
    Case(
        "failover-refused",
        "primary killed and its host refusing, standby promoted, two hosts in the DSN",
        fail_over_from_refusal,
        drain_seconds=40,
        starts_within=2,
        recovers_within=2,
    ),
    Case(
        "failover-silent",
        "primary killed and its host silent, standby promoted, two hosts in the DSN",
        fail_over_from_silence,
        drain_seconds=40,
        starts_within=10,
        recovers_within=10,
    ),
)
