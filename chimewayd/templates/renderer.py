"""Have templates rendered by processes that can be ended, whatever a template does.

render ──▶ an idle worker, or a new one ──▶ its answer ──▶ payload
              └─ no answer in time, cancelled, or it died: killed, the next is a new one
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio

from chimewayd.adapters.evidence import DETAIL_LIMIT_BYTES, SHORTEST_SECRET, clean
from chimewayd.models import Misconfigured, Outcome, Permanent, Temporary, Unavailable
from chimewayd.templates import CPU_SECONDS, OUTPUT_LIMIT_CHARACTERS

WORKERS = 2
"""Processes at one time: one template that never ends must not stop the others."""
ANSWER_SECONDS = 10.0
"""Longest wait for an answer, with the start of a process; only an overloaded machine needs it."""
GOODBYE_SECONDS = 5.0
# JSON writes a control character as six; the worker keeps the rest within bounds.
_ANSWER_LIMIT_BYTES = 6 * OUTPUT_LIMIT_CHARACTERS + 64 * 1024

# Ours may hold the database's password; the worker needs nothing of it.
_INHERITED = ("PYTHONPATH", "LANG", "LC_ALL", "LC_CTYPE")


class Payload:
    """What a template has rendered."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class Renderer:
    """The processes that render one folder's templates; they start when they are needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._room = anyio.Semaphore(WORKERS)
        self._idle: list[asyncio.subprocess.Process] = []

    async def close(self) -> None:
        """End the processes; nothing is being rendered any more."""
        with anyio.move_on_after(GOODBYE_SECONDS, shield=True):
            while self._idle:
                await _end(self._idle.pop())

    async def render(
        self, template: str, data: Mapping[str, object], within_seconds: float = ANSWER_SECONDS
    ) -> Payload | Outcome:
        """Return what the template makes of the data, or why there is nothing to send."""
        try:
            with anyio.move_on_after(min(within_seconds, ANSWER_SECONDS)):
                async with self._room:
                    return await self._ask(template, data)
        except OSError as error:
            # No memory, no process, no descriptor: the machine's fault, whatever the delivery.
            return Unavailable(detail=f"templates cannot be rendered now: {error.strerror}")
        return Temporary(detail=f"template {template[:100]!r} was not rendered in time")

    async def _ask(self, template: str, data: Mapping[str, object]) -> Payload | Outcome:
        worker = await self._worker()
        answer = None
        try:
            answer = await _exchange(worker, {"template": template, "data": data})
        finally:
            if answer is None or answer.get("worn"):
                await _end(worker)
            else:
                self._idle.append(worker)
        return _died(template, worker.returncode) if answer is None else _read(answer, data)

    async def _worker(self) -> asyncio.subprocess.Process:
        while self._idle:
            worker = self._idle.pop()
            if worker.returncode is None:
                return worker
        return await _start(self._folder)


async def _start(folder: Path) -> asyncio.subprocess.Process:
    # -P: what lies in the working directory is not ours to import. A session of its own: Ctrl-C
    # is for the daemon, which may still have deliveries to render.
    command = (sys.executable, "-P", "-m", "chimewayd.templates.worker", str(folder))
    return await asyncio.create_subprocess_exec(  # cancelled, it ends what it has started
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={name: os.environ[name] for name in _INHERITED if name in os.environ},
        start_new_session=True,
        limit=_ANSWER_LIMIT_BYTES,
    )


async def _exchange(
    worker: asyncio.subprocess.Process, request: Mapping[str, object]
) -> dict[str, Any] | None:
    """Return the answer, or None if the worker died over it."""
    assert worker.stdin and worker.stdout  # noqa: S101, PT018 - for mypy: both are pipes
    with suppress(BrokenPipeError, ConnectionResetError):
        # Not orjson: it has no numbers beyond 64 bits, and JSON has.
        worker.stdin.write(json.dumps(request).encode() + b"\n")
        await worker.stdin.drain()
    line = await worker.stdout.readline()
    answer: dict[str, Any] | None = json.loads(line) if line.endswith(b"\n") else None
    return answer


async def _end(worker: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        worker.kill()
    with anyio.move_on_after(GOODBYE_SECONDS, shield=True):
        await worker.wait()


def _read(answer: Mapping[str, Any], data: Mapping[str, object]) -> Payload | Outcome:
    if "payload" in answer:
        return Payload(answer["payload"])
    if "broken" in answer:
        # Jinja and Python name what they could not use; the payload's texts are not for the log.
        return Permanent(detail=clean(answer["broken"], _texts(data), DETAIL_LIMIT_BYTES))
    return Misconfigured(detail=clean(answer["misconfigured"], limit_bytes=DETAIL_LIMIT_BYTES))


def _texts(data: Mapping[str, object]) -> list[str]:
    """List the texts in the data, and as Python would quote them, longest first."""
    texts: set[str] = set()
    left: list[object] = [data]
    while left:  # not a function that calls itself: JSON may be nested as deep as it likes
        match left.pop():
            case str(text) if len(text) >= SHORTEST_SECRET:
                texts |= {text, repr(text)[1:-1]}
            case dict(table):
                left += table.values()
            case list(items):
                left += items
    return sorted(texts, key=len, reverse=True)


def _died(template: str, status: int | None) -> Outcome:
    if status == -signal.SIGPROF:
        return Permanent(
            detail=f"template {template}: it took more than {CPU_SECONDS:g} s of CPU at one place"
        )
    return Temporary(detail=f"template {template}: its process ended with status {status}")
