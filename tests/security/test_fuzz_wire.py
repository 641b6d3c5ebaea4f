"""Bytes of strangers on the wire: hypothesis says them to the real adapter and the real daemon."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import anyio
import engine
import pytest
import running
from deliveries import delivery
from hypothesis import given, settings
from hypothesis import strategies as some
from mailing import mail_to, smtp

from chimewayd.models import Outcome, Succeeded

UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
STEPS = (b"220 here", b"250 here", b"250 OK", b"250 OK", b"354 go on", b"250 OK")
"""What a relay says to a connection, EHLO, MAIL, RCPT, DATA and the final dot."""
DOT = len(STEPS) - 1

CODES = some.one_of(
    some.integers(0, 999).map("{:03}".format),
    some.sampled_from(["250", "354", "421", "450", "550", "-1", "2", "25O", "99999", "²50", ""]),
)
LINES = some.builds(
    lambda code, mark, text, end: f"{code}{mark}".encode() + text + end,
    CODES,
    some.sampled_from([" ", "-", "", "\t", "\x00"]),
    some.one_of(
        some.binary(max_size=60),
        some.sampled_from([b"5.1.1 \x1b[2J", b"queued as \r250 x", b"4.7.28 in 99999999 hours"]),
    ),
    some.sampled_from([b"\r\n", b"\n", b"\r", b"", b"\r\n\r\n"]),
)
ANSWERS = some.one_of(
    some.binary(max_size=200),
    some.lists(LINES, min_size=1, max_size=5).map(b"".join),
    some.integers(500, 20_000).map(lambda length: b"250-" + b"a" * length + b"\r\n250 end\r\n"),
)


@asynccontextmanager
async def relay_that_says(answer: bytes, at: int) -> AsyncIterator[int]:
    """Keep to the protocol up to this step, say this there, and hang up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, EOFError):
            for step, usual in enumerate(STEPS[:at]):
                if step:
                    await reader.readuntil(b"\r\n")
                writer.write(usual + b"\r\n")
            if at:
                await reader.readuntil(b"\r\n.\r\n" if at == DOT else b"\r\n")
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@settings(deadline=None, max_examples=150)
@given(answer=ANSWERS, at=some.integers(0, DOT))
def test_any_bytes_of_a_relay_are_an_outcome_and_no_success_before_the_final_dot(
    answer: bytes, at: int
) -> None:
    async def call() -> Outcome:
        async with (
            relay_that_says(answer, at) as port,
            smtp(port, timedelta(seconds=20)) as adapter,
        ):
            return await adapter.deliver(mail_to(delivery()))

    outcome = anyio.run(call)

    assert isinstance(outcome, Outcome)
    # Of several lines the last one counts: clients differ where they have several codes.
    says_so = at == DOT and re.search(rb"(?:\A|\n)2\d\d", answer)
    assert says_so or not isinstance(outcome, Succeeded)
    told = [getattr(outcome, name, None) or "" for name in ("detail", "response")]
    told.append(getattr(outcome, "provider_message_id", None) or "")
    assert UNPRINTABLE.findall("".join(told)) == []
    assert all(len(text.encode()) <= 2048 for text in told)


LONGEST_PAYLOAD_BYTES = 7999
"""Postgres takes no longer one."""


def notifications(count: int) -> list[str]:
    """Let hypothesis think of payloads."""
    found = [f"canary{'x' * (LONGEST_PAYLOAD_BYTES - len('canary'))}"]

    @settings(deadline=None, max_examples=count, database=None)
    @given(
        some.text(some.characters(exclude_categories=["Cs"], exclude_characters="\x00")).map(
            lambda text: f"canary{text}"
        )
    )
    def think(payload: str) -> None:
        found.append(payload)

    think()
    return found


@pytest.mark.anyio
async def test_any_notification_is_a_ring_and_its_payload_nothing(
    dsn: str, connection: engine.Connection
) -> None:
    payloads = await anyio.to_thread.run_sync(notifications, 200)

    async with running.running(dsn, {"bin": {"adapter": "sink"}}, log_level="debug") as daemon:
        for payload in payloads:
            for channel in ("chimeway_jobs", "chimeway_probe"):
                await connection.execute("select pg_notify($1, $2)", channel, payload)
        await engine.insert(connection, channel="bin")
        await daemon.said("attempt_recorded", outcome="succeeded")
        stopped = await daemon.stop()

    assert stopped.exit_code == 0
    # A starved machine makes the loop late; what the daemon heard cannot.
    told = [line for line in stopped.lines if line["event"] != "loop_blocked"]
    assert {line["level"] for line in told} <= {"debug", "info"}
    assert "canary" not in str(stopped.lines)
    assert daemon.other_output == []
