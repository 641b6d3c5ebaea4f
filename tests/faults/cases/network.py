"""The network says nothing: no FIN, no RST."""

import anyio

from faults.proxy import Wire
from faults.round import Case, Round

CUT_SECONDS, CUT_SECONDS_LONG = 15, 120


async def partition(round_: Round) -> None:
    """Every byte between daemon and server stays where it is; producers are not affected."""
    proxy = await round_.proxy()
    await round_.daemon(dsn=proxy.dsn())
    await round_.moment()
    proxy.set(Wire.STALL)
    await anyio.sleep(CUT_SECONDS_LONG if round_.is_long else CUT_SECONDS)
    if round_.is_long:
        round_.may_repeat()
    proxy.set(Wire.PASS)
    round_.recovers_from_now()
    await round_.moment()


async def flapping(round_: Round) -> None:
    """Resets at random moments: answers of claims and records are lost on their way."""
    proxy = await round_.proxy()
    await round_.daemon(dsn=proxy.dsn())
    for _ in range(20):
        await round_.moment(0.05, 0.4)
        proxy.reset()
    round_.recovers_from_now()
    await round_.moment()


async def claim_unheard(round_: Round) -> None:
    """The server commits a claim, and its answer never arrives."""
    await _lose_answer(round_, b"http://127.0.0.1", "claim")


async def record_unheard(round_: Round) -> None:
    """The server commits a record, and its answer never arrives."""
    await _lose_answer(round_, b"applied", "record")


async def _lose_answer(round_: Round, marker: bytes, what: str) -> None:
    proxy = await round_.proxy()
    await round_.daemon(dsn=proxy.dsn())
    lost = 0

    def is_answer(message: bytes) -> bool:
        nonlocal lost
        # D: a row of an answer. Both hold a delivery's recipient or the word of the verdict.
        if lost >= ANSWERS_LOST or not message.startswith(b"D") or marker not in message:
            return False
        lost += 1
        return True

    await round_.moment()
    proxy.when_answering = is_answer
    with anyio.move_on_after(10):
        while lost < ANSWERS_LOST:  # noqa: ASYNC110 - the proxy counts
            await anyio.sleep(0.02)
    proxy.when_answering = None
    round_.expect(lost == ANSWERS_LOST, f"only {lost} answers of a {what} were lost")
    round_.recovers_from_now()
    await round_.moment()


async def deaf_listener(round_: Round) -> None:
    """Only the listener's wire is black-holed: deliveries go out by the poll."""
    proxy = await round_.proxy()
    await round_.daemon(listen_dsn=proxy.dsn())
    await round_.moment()
    proxy.set(Wire.STALL)
    round_.recovers_from_now()
    await anyio.sleep(CUT_SECONDS)
    proxy.set(Wire.PASS)
    await round_.moment()


ANSWERS_LOST = 3

CASES = (
    Case(
        "partition",
        f"silent partition of {CUT_SECONDS} s (long: {CUT_SECONDS_LONG} s)",
        partition,
        starts_within=1,
        deadline_seconds=300,
    ),
    Case("resets", "connections reset at random moments, 20 times", flapping),
    Case("claim-unheard", "a claim commits, its answer is lost, three times", claim_unheard),
    Case("record-unheard", "a record commits, its answer is lost, three times", record_unheard),
    Case("deaf-listener", "the listener alone is black-holed", deaf_listener),
)
