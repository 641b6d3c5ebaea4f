"""A notification to ourselves, on the way that real ones take."""

import secrets
from typing import TYPE_CHECKING

import anyio

from chimewayd import session
from chimewayd.diagnosis.finding import Finding, fault, ok
from chimewayd.errors import ChimewaydError
from chimewayd.pooled import is_pooled

if TYPE_CHECKING:
    import asyncpg

HEARING_SECONDS = 3.0


async def examine(connection: "asyncpg.Connection", dsn: str, listen_dsn: str | None) -> Finding:
    """Listen as a daemon does, notify on the connection as a producer does, and wait.

    Two sessions: a pooler hands one its own notification back, and nobody else's.
    """
    setting = "dsn" if listen_dsn is None else "listen_dsn"
    try:
        listener = await session.connect(listen_dsn or dsn)
    except ChimewaydError as error:
        return fault("notifications", f"{setting}: {error}", f"correct the setting {setting}")
    try:
        return await _round_trip(listener, connection, setting)
    finally:
        listener.terminate()


async def _round_trip(
    listener: "asyncpg.Connection", producer: "asyncpg.Connection", setting: str
) -> Finding:
    token, heard = secrets.token_hex(8), anyio.Event()
    began = anyio.current_time()

    def hear(*said: object) -> None:
        if said[-1] == token:
            heard.set()

    await listener.add_listener(session.PROBE_CHANNEL, hear)
    await producer.fetchval("select pg_notify($1, $2)", session.PROBE_CHANNEL, token)
    with anyio.move_on_after(HEARING_SECONDS):
        await heard.wait()
    if heard.is_set():
        milliseconds = (anyio.current_time() - began) * 1000
        return ok("notifications", f"one came back after {milliseconds:.0f} ms")
    if setting == "listen_dsn" and not is_pooled(listener):
        return fault(
            "notifications",
            "what is notified on dsn is not heard on listen_dsn",
            "let both settings lead to the same database of the same server",
        )
    return fault(
        "notifications",
        f"they do not arrive: {setting} leads through a pooler in transaction mode, such as "
        "PgBouncer; deliveries wait for the poll",
        "set listen_dsn to a direct connection to the same database",
    )
