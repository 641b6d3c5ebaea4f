"""The provider misbehaves in every way, beside one that works."""

from collections.abc import Mapping

from faults.cluster import connected
from faults.load import Stream
from faults.round import CHANNELS, HOOKS, Case, Round

TWICE = {"schedule": ["100ms"], "max_attempts": 2}
BAD = {
    "bad": {**HOOKS, "retry": TWICE, "concurrency": 200, "timeout": "500ms"},
    "held": {
        **HOOKS,
        "retry": TWICE,
        "concurrency": 200,
        "timeout": "500ms",
        "on_uncertain": "hold",
    },
}
EXHAUSTED, UNKNOWN, SENT = "retries_exhausted", "outcome_unknown", None
ENDINGS: Mapping[str, tuple[str | None, str | None]] = {
    # path: the reason on a channel that retries doubts, and on one that holds them
    "busy": (EXHAUSTED, EXHAUSTED),
    "hang": (EXHAUSTED, UNKNOWN),
    "hang_in_body": (SENT, SENT),
    "reset": (EXHAUSTED, UNKNOWN),
    "close": (EXHAUSTED, UNKNOWN),
    "drip": (EXHAUSTED, UNKNOWN),
    "garbage": (EXHAUSTED, UNKNOWN),
    "huge": (SENT, SENT),
}
REASONS = """
select d.channel, d.recipient, d.suppression_reason, count(*)
from chimeway.deliveries as d
where d.channel in ('bad', 'held') and d.finished_at is not null
group by 1, 2, 3
"""
SLOWEST = """
select max(extract(epoch from d.finished_at - d.inserted_at))::float8
from chimeway.deliveries as d where d.channel = 'hooks'
"""


async def misbehaving(round_: Round) -> None:
    """Each fault ends as the contract says, and nobody else waits for it."""
    expected = {f"{round_.ledger.url}/{path}": reasons for path, reasons in ENDINGS.items()}
    expected[round_.ledger.deaf_url] = (EXHAUSTED, UNKNOWN)
    expected[round_.ledger.refusing_url] = (EXHAUSTED, EXHAUSTED)
    bad = [Stream(channel, url, 0.5) for url in expected for channel in BAD]
    round_.streams = [*round_.streams, *bad]
    round_.works = False
    round_.once |= {"held"}
    round_.may_repeat(1_000_000)  # the channel `bad` asks for it
    await round_.daemon(channels={**CHANNELS, **BAD}, concurrency=500)
    await round_.moment(5, 6)
    async with connected(round_.cluster.dsn) as connection:
        for channel, recipient, reason, count in await connection.fetch(REASONS):
            wanted = expected[recipient][channel == "held"]
            said = f"{count} to {recipient} on {channel} ended as {reason}, not as {wanted}"
            round_.expect(reason == wanted, said)
        slowest = await connection.fetchval(SLOWEST)
    round_.facts["slowest delivery beside them, s"] = slowest
    round_.recovers_from_now()


CASES = (
    Case(
        "provider",
        "refuses, resets, hangs, closes, drips, answers garbage or 10 GB, beside one that works",
        misbehaving,
        rate=100,
        recovers_within=10,
    ),
)
