"""No fault at all: four daemons share the work, and nobody is sent anything twice."""

from faults.cluster import connected
from faults.load import Stream, fill
from faults.round import Case, Round

DAEMONS = 4
COUNT, COUNT_LONG = 10_000, 1_000_000


async def nothing_happens(round_: Round) -> None:
    """Whatever arrives twice is the system's own doing."""
    for number in range(DAEMONS):
        await round_.daemon(f"d{number}")
    stream = Stream("hooks", f"{round_.ledger.url}/ok")
    count = COUNT_LONG if round_.is_long else COUNT
    async with connected(round_.cluster.dsn) as connection:
        await fill(connection, stream, count, round_.directory / "producers")
    round_.recovers_from_now()


CASES = (
    Case(
        "calm",
        f"no fault, {DAEMONS} daemons, {COUNT} deliveries (long: {COUNT_LONG})",
        nothing_happens,
        rounds=1,
        long_rounds=1,
        deadline_seconds=3600,
        drain_seconds=3000,
        recovers_within=None,
        paths=("ok",),
        rate=50,
    ),
)
