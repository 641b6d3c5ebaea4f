"""Every NOTIFY is lost: a notification is only a hint."""

from faults.cluster import connected
from faults.proxy import Wire
from faults.round import Case, Round

SLOW_RATE = 10.0
LATE = """
select max(extract(epoch from a.started_at - d.inserted_at))::float8
from chimeway.deliveries as d
join chimeway.delivery_attempts as a on a.delivery_id = d.id and a.attempt_number = 1
where d.inserted_at > now() - interval '5 seconds'
"""
POLL_SECONDS = 1.0
MARGIN_SECONDS = 1.0


async def dropped(round_: Round) -> None:
    """Only notifications are lost; the load leaves the daemon time to sleep."""
    proxy = await round_.proxy()
    proxy.set(Wire.DEAF)
    await round_.daemon(dsn=proxy.dsn())
    await round_.moment(6, 7)
    round_.recovers_from_now()
    async with connected(round_.cluster.dsn) as connection:
        late = await connection.fetchval(LATE)
    round_.facts["longest wait of a delivery, s"] = late
    if late > POLL_SECONDS + MARGIN_SECONDS:
        round_.missed.append(f"a delivery waited {late:.1f} s for its first call")


CASES = (
    Case(
        "notify-dropped",
        "all NOTIFYs dropped on the wire",
        dropped,
        recovers_within=POLL_SECONDS + MARGIN_SECONDS,
        rate=SLOW_RATE,
    ),
)
