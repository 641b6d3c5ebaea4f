"""The demo's daemon: `chimewayd run` in a process of its own that never outlives the demo.

    demo ──── pipe ────▶ guard (/bin/sh) ──── starts ────▶ chimewayd run
      │                    ▲
      └─ ends, however ────┘ end of file: SIGTERM, three seconds later SIGKILL

The kernel closes our end of the pipe whatever ends us, so that SIGKILL needs no handler.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import PIPE, STDOUT

import anyio
import orjson

from chimewayd.errors import ChimewaydError
from chimewayd.log import Event

READY_SECONDS = 30.0
STOP_SECONDS = 10.0
"""More than the guard needs; what is still there then ends with the pipe all the same."""

LINE_LIMIT_BYTES = 1024 * 1024
TOLD_FIELDS = ("attempt", "max_attempts", "outcome", "status_code", "status", "reason", "detail")

# Descriptor 3 is the pipe: a shell gives its background commands /dev/null for input.
GUARD = """
exec 3<&0
"$@" </dev/null 3<&- & daemon=$!
(
  read -r _ <&3; kill -TERM "$daemon"
  for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
    kill -0 "$daemon" || exit 0; sleep 0.1
  done
  kill -KILL "$daemon"
) >/dev/null 2>&1 & watch=$!
wait "$daemon"; status=$?
kill "$watch" 2>/dev/null
exit "$status"
"""


class Lines:
    """What the daemon has said so far."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.ready = anyio.Event()
        self._attempts = 0
        self._more = anyio.Event()
        self.last = "nothing"
        self.names: dict[str, str] = {}
        """What to call a delivery, by its id."""
        self._tell = tell

    def take(self, line: bytes) -> None:
        """Tell of one line in short form."""
        try:
            fields = orjson.loads(line)
        except orjson.JSONDecodeError:
            fields = {"event": line.decode(errors="replace").strip()}
        self.last = fields["event"]
        match fields["event"]:
            case Event.DAEMON_READY:
                self.ready.set()
            case Event.ATTEMPT_RECORDED:
                self._attempts += 1
                self._more.set()
        self._tell(self._short(fields))

    async def said(self, attempts: int) -> None:
        """Wait until it has told of so many attempts."""
        while self._attempts < attempts:
            self._more = anyio.Event()
            await self._more.wait()

    def _short(self, fields: Mapping[str, object]) -> str:
        delivery = str(fields.get("delivery_id", ""))
        told = " ".join(f"{name}={fields[name]}" for name in TOLD_FIELDS if name in fields)
        return " ".join(
            filter(None, (str(fields["event"]), self.names.get(delivery, delivery), told))
        )


@asynccontextmanager
async def running(
    settings: Mapping[str, str], config_file: Path, tell: Callable[[str], None]
) -> AsyncIterator[Lines]:
    """Run the daemon for as long as the context is open; yield once it is ready.

    Raises:
        ChimewaydError: it did not become ready, or ended before the context did.
    """
    # Without a file of its own it would read this machine's.
    await anyio.Path(config_file).write_text("# The demo's settings are in its environment.\n")
    environment = os.environ | settings | {"CHIMEWAYD_CONFIG": str(config_file)}
    process = await asyncio.create_subprocess_exec(
        *("/bin/sh", "-c", GUARD, "chimewayd-guard", sys.executable, "-m", "chimewayd", "run"),
        stdin=PIPE,
        stdout=PIPE,
        stderr=STDOUT,
        limit=LINE_LIMIT_BYTES,
        env=environment,
        start_new_session=True,  # a terminal's Ctrl-C is for the demo alone
    )
    lines = Lines(tell)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_relay, process, lines)
            with anyio.move_on_after(READY_SECONDS):
                await lines.ready.wait()
            if not lines.ready.is_set():
                raise ChimewaydError(f"the daemon is not ready; its last word: {lines.last}")
            yield lines
            tasks.cancel_scope.cancel()
    finally:
        with anyio.move_on_after(STOP_SECONDS, shield=True):
            await _stop(process)


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()  # what the guard waits for
    await process.communicate()


async def _relay(process: asyncio.subprocess.Process, lines: Lines) -> None:
    assert process.stdout is not None  # noqa: S101 - asked for above; tells mypy
    async for line in process.stdout:
        lines.take(line)
    raise ChimewaydError(f"the daemon ended by itself; its last word: {lines.last}")
