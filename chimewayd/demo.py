"""The demo: Postgres, the daemon and a webhook receiver on this machine, and five deliveries.

    insert ──▶ Postgres ──▶ daemon ──▶ receiver (answers by a script)
                  │
                  └──▶ the timeline of each

Whatever ends this process ends the other two: see embedded.py and demo_daemon.py.
"""

import os
import shlex
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import anyio
import asyncpg
from anyio.abc import TaskStatus

from chimewayd import db_commands, demo_daemon, demo_receiver, embedded, migrate
from chimewayd.errors import ChimewaydError
from chimewayd.session import connect

DEADLINE_SECONDS = 30.0
LAST_LINES_SECONDS = 2.0
LOOK_SECONDS = 0.05
CHANNEL = "hooks"
REASON = "the meeting was called off"

SETTINGS = {
    "CHIMEWAYD_NAME": "demo",
    "CHIMEWAYD_LOG_FORMAT": "json",
    "CHIMEWAYD_SHUTDOWN_GRACE": "1s",
    "CHIMEWAYD_CHANNELS__HOOKS__ADAPTER": "webhook",
    # The receiver is on this machine, which a webhook may not call otherwise.
    "CHIMEWAYD_CHANNELS__HOOKS__SETTINGS__ALLOW_NETWORKS": '["127.0.0.0/8"]',
    "CHIMEWAYD_CHANNELS__HOOKS__RETRY__SCHEDULE": '["200ms", "400ms"]',
    "CHIMEWAYD_CHANNELS__HOOKS__RETRY__JITTER": "0",
}


@dataclass(frozen=True, slots=True)
class Screen:
    """How the demo is shown."""

    say: Callable[[str], None]
    title: Callable[[str], None]
    whisper: Callable[[str], None]
    picture: Callable[[UUID, Sequence[dict[str, Any]]], str]
    """Draws the rows of chimeway.explain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One delivery, what the receiver answers to it, and how it has to end."""

    path: str
    story: str
    text: str
    when: str = "now()"
    answers: tuple[int, ...] = (200,)
    status: str = "cancelled"
    reason: str | None = None
    attempts: int


SAMPLES = (
    Sample(
        path="/welcome",
        story="succeeds",
        text="Welcome, Ada",
        status="succeeded",
        attempts=1,
    ),
    Sample(
        path="/flaky",
        story="fails twice, then succeeds",
        text="Order 42 has shipped",
        answers=(503, 503, 200),
        status="succeeded",
        attempts=3,
    ),
    Sample(
        path="/gone",
        story="is refused for good",
        text="Your trial ends",
        answers=(410,),
        reason="permanent_failure",
        attempts=1,
    ),
    Sample(
        path="/down",
        story="runs out of attempts",
        text="Invoice 7",
        answers=(500,),
        reason="retries_exhausted",
        attempts=3,
    ),
    Sample(
        path="/later",
        story="is cancelled before its time",
        text="The meeting is at ten",
        when="now() + interval '1 hour'",
        reason=REASON,
        attempts=0,
    ),
)


def show(screen: Screen, *, keep: bool, port: int | None) -> int:
    """Show everything and return the exit status; with `keep`, stay until a signal comes.

    Raises:
        EmbeddedError: there is no Postgres to start.
        ChimewaydError: a delivery did not end as it should, or not in time.
    """
    for name in [name for name in os.environ if name.startswith(("PG", "CHIMEWAYD_"))]:
        del os.environ[name]  # they are for the visitor's own database
    if keep and port is None:
        port = _free_port()
    screen.say("Starting a throw-away Postgres, the daemon and a webhook receiver …")
    with embedded.server(port=port) as server:
        return anyio.run(_play, screen, server, port)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


async def _play(screen: Screen, server: embedded.Server, port: int | None) -> int:
    received: list[signal.Signals] = []
    staying = anyio.Event()
    async with anyio.create_task_group() as tasks:
        await tasks.start(_heed_signals, received, tasks.cancel_scope)
        await _stage(screen, server, port, staying)
        tasks.cancel_scope.cancel()
    if not received or staying.is_set():
        return 0
    return 128 + received[0]


async def _heed_signals(
    received: list[signal.Signals],
    scope: anyio.CancelScope,
    *,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for number in signals:
            received.append(number)
            scope.cancel()


async def _stage(
    screen: Screen, server: embedded.Server, port: int | None, staying: anyio.Event
) -> None:
    connection = await connect(server.dsn, role="demo")
    try:
        await migrate.apply(connection)
        script = {sample.path: sample.answers for sample in SAMPLES}
        settings = SETTINGS | {"CHIMEWAYD_DSN": server.dsn}
        config_file = server.socket_directory / "demo.toml"
        async with (
            demo_receiver.receiver(script, lambda line: screen.say(f"  receiver  {line}")) as url,
            demo_daemon.running(
                settings, config_file, lambda line: screen.whisper(f"  daemon    {line}")
            ) as lines,
        ):
            await _show_samples(screen, connection, url, lines)
            if port is not None:
                staying.set()
                _invite(screen, port, url)
                await anyio.sleep_forever()
    finally:
        connection.terminate()


async def _show_samples(
    screen: Screen, connection: asyncpg.Connection, url: str, lines: demo_daemon.Lines
) -> None:
    sql = _insert(url)
    screen.title("Any program inserts deliveries with SQL")
    screen.say(sql)
    screen.title("Each goes out at once")
    async with connection.transaction():
        ids = [row["id"] for row in await connection.fetch(sql)]
        names = zip(ids, SAMPLES, strict=True)
        lines.names = {str(delivery_id): sample.path for delivery_id, sample in names}
    cancel = f"select * from chimeway.cancel('{ids[-1]}', '{REASON}', 'demo')"  # noqa: S608 - ours
    screen.say(f"  you       {cancel}")
    await connection.fetch(cancel)
    await _wait_until_ended(connection, lines)
    screen.title("What became of each: chimeway.explain(id)")
    for delivery_id, sample in zip(ids, SAMPLES, strict=True):
        screen.say(f"{sample.path} {sample.story}")
        screen.say(
            screen.picture(delivery_id, await db_commands.explain(connection, delivery_id)) + "\n"
        )
    await _check(connection, ids)
    screen.say("All five ended as they should.")


def _insert(url: str) -> str:
    rows = ",\n".join(
        f"  ('{CHANNEL}', '{url}{sample.path}', '{{\"text\": \"{sample.text}\"}}', {sample.when})"
        for sample in SAMPLES
    )
    columns = "channel, recipient, payload, scheduled_at"
    return f"insert into chimeway.deliveries ({columns}) values\n{rows}\nreturning id;"


async def _wait_until_ended(connection: asyncpg.Connection, lines: demo_daemon.Lines) -> None:
    left = "select count(*) from chimeway.deliveries where finished_at is null"
    with anyio.move_on_after(DEADLINE_SECONDS):
        while await connection.fetchval(left):  # noqa: ASYNC110 - the database has no event for it
            await anyio.sleep(LOOK_SECONDS)
    with anyio.move_on_after(LAST_LINES_SECONDS):
        await lines.said(sum(sample.attempts for sample in SAMPLES))


async def _check(connection: asyncpg.Connection, ids: Sequence[UUID]) -> None:
    sql = "select id, status, suppression_reason, attempt_count from chimeway.deliveries"
    found = {row[0]: tuple(row[1:]) for row in await connection.fetch(sql)}
    for delivery_id, sample in zip(ids, SAMPLES, strict=True):
        expected = (sample.status, sample.reason, sample.attempts)
        if found[delivery_id] != expected:
            raise ChimewaydError(
                f"{sample.path} should have ended within {DEADLINE_SECONDS:g} s as {expected} "
                f"(status, reason, attempts), but is {found[delivery_id]}"
            )


def _invite(screen: Screen, port: int, url: str) -> None:
    dsn = f"postgresql://postgres@127.0.0.1:{port}/postgres"
    columns = "insert into chimeway.deliveries (channel, recipient, payload)"
    by_psql = f"{columns} values ('{CHANNEL}', '{url}/psql', '{{\"text\": \"Hello from psql\"}}')"
    by_python = (
        f"{columns} values ($${CHANNEL}$$, $${url}/python$$, "
        "jsonb_build_object($$text$$, $$Hello from Python$$))"
    )
    program = (
        "import asyncio, asyncpg; run = asyncio.new_event_loop().run_until_complete; "
        f'run(run(asyncpg.connect("{dsn}")).execute("{by_python}"))'
    )
    command = f"{shlex.quote(sys.executable)} -m chimewayd --dsn {dsn}"
    screen.title("Your turn: paste one of these into another terminal")
    # Nothing in it but its double quotes means anything to a shell.
    escaped = by_psql.replace('"', '\\"')
    screen.say(f'psql {dsn} -c "{escaped}"\n')
    screen.say(f"{shlex.quote(sys.executable)} -c {shlex.quote(program)}\n")
    screen.say(f"{command} status\n")
    screen.say("Ctrl-C ends everything and leaves nothing behind.\n")
