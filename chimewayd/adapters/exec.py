"""Perform an attempt as one run of a command: JSON on its standard input, sysexits as its answer.

    spawn ──▶ exit ──▶ kill what is left of its process group ──▶ judge(status, last line)
                └─ deadline or cancelled: the whole group is killed at once

The command reads one JSON document and may end its standard output with a line that is a JSON
object: `provider_message_id` (text), `retry_after` (seconds), `detail` (text). It runs without
a shell, in its own session, with the environment that the settings name and nothing else.
"""

import asyncio
import errno
import os
import signal
import tempfile
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import IO, ClassVar

import anyio
import orjson
from pydantic import Field, SecretStr, field_validator

from chimewayd.adapters.base import AdapterSettings, HoldsNothing
from chimewayd.adapters.evidence import READ_LIMIT_BYTES, clean, secret_words
from chimewayd.adapters.exit_outcome import judge
from chimewayd.models import Delivery, Misconfigured, Outcome, TimedOut, Unavailable

REAP_SECONDS = 5.0
"""Longest wait for a killed command; only an uninterruptible system call takes as long."""
LAST_WORDS_SECONDS = 0.5
"""Longest wait for the pipes of a command that has ended, should an escaped child hold them."""

# Gone, forbidden or no program any more since the daemon started: so for each delivery.
_NOT_A_PROGRAM = frozenset(
    {errno.EACCES, errno.ELOOP, errno.ENOENT, errno.ENOEXEC, errno.ENOTDIR, errno.EPERM}
)


class ExecSettings(AdapterSettings):
    """Settings of an exec channel."""

    command: tuple[str, ...] = Field(
        min_length=1, description="the absolute path of an executable file, then its arguments"
    )
    environment: dict[str, SecretStr] = Field(
        default_factory=dict, description="names and values of variables for the command"
    )
    inherit: tuple[str, ...] = Field(
        default=("PATH", "LANG", "TZ"),
        description="names of the daemon's own variables that the command gets too",
    )

    @field_validator("command")
    @classmethod
    def _can_be_run(cls, command: tuple[str, ...]) -> tuple[str, ...]:
        if any("\0" in word for word in command):
            raise ValueError("it holds a NUL character")
        program = Path(command[0])
        if not program.is_absolute():
            raise ValueError("its first word is not an absolute path")
        if not program.is_file():
            raise ValueError("its first word names no file")
        if not os.access(program, os.X_OK):
            raise ValueError("its first word names a file that we may not execute")
        return command

    @field_validator("environment")
    @classmethod
    def _are_variables(cls, environment: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, value in environment.items():
            if not name or "=" in name or "\0" in name + value.get_secret_value():
                raise ValueError("a name is empty or holds '=', or a NUL character is in it")
        return environment


class _Run(asyncio.SubprocessProtocol):
    """Hears one run of the command: the end of what it says, and when it is over."""

    def __init__(self) -> None:
        self.heard = {1: bytearray(), 2: bytearray()}
        self.exited = asyncio.Event()
        self.silent = asyncio.Event()
        self._open_pipes = {1, 2}

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        # The end is kept: the answer is the last line, and the error usually too.
        self.heard[fd] += data
        del self.heard[fd][:-READ_LIMIT_BYTES]

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's
        self._open_pipes.discard(fd)
        if not self._open_pipes:
            self.silent.set()

    def process_exited(self) -> None:
        self.exited.set()


class ExecAdapter(HoldsNothing):
    """Runs the channel's command once for each delivery."""

    Settings: ClassVar[type[AdapterSettings]] = ExecSettings

    def __init__(self, settings: ExecSettings, timeout: timedelta) -> None:
        own = {name: value.get_secret_value() for name, value in settings.environment.items()}
        inherited = {name: os.environ[name] for name in settings.inherit if name in os.environ}
        self._command = settings.command
        self._environment = inherited | own
        self._secrets = secret_words(own.values())
        self._timeout_seconds = timeout.total_seconds()

    async def deliver(self, delivery: Delivery) -> Outcome:
        try:
            # A file and not a pipe: a command may leave it unread, read it twice, or open
            # /dev/stdin, which fails on the socket that event loops use for a pipe.
            with tempfile.TemporaryFile() as document:
                document.write(_document(delivery))
                document.seek(0)
                return await self._run(document)
        except OSError as error:
            return _not_started(error)

    async def _run(self, document: IO[bytes]) -> Outcome:
        transport, run = await self._spawn(document)
        try:
            with anyio.move_on_after(self._timeout_seconds):
                await run.exited.wait()
            has_ended = run.exited.is_set()
        finally:
            await _end(transport, run)
        status = transport.get_returncode()
        if not has_ended or status is None:
            return TimedOut(
                detail="the command did not end in time and was killed",
                response=self._said(run),
            )
        return judge(status, bytes(run.heard[1]), self._said(run), self._secrets)

    async def _spawn(self, document: IO[bytes]) -> tuple[asyncio.SubprocessTransport, _Run]:
        """Start the command; cancelled meanwhile, end it as soon as it has started."""
        loop = asyncio.get_running_loop()
        # The loop would kill a spawn that is cancelled, but not what it has started itself.
        with anyio.CancelScope(shield=True):
            spawning = asyncio.ensure_future(
                loop.subprocess_exec(
                    _Run,
                    *self._command,
                    stdin=document,
                    env=self._environment,
                    start_new_session=True,
                )
            )
            try:
                transport, run = await asyncio.shield(spawning)
            except asyncio.CancelledError:  # by the task's own cancel, which no scope can hold off
                await _end(*await spawning)
                raise
        return transport, run

    def _said(self, run: _Run) -> str | None:
        return clean(bytes(run.heard[2]), self._secrets, keep_end=True)


async def _end(transport: asyncio.SubprocessTransport, run: _Run) -> None:
    """Kill what is left of the command's process group, reap it and close its pipes."""
    # The first line runs whatever happens after it; what the group's leader left running
    # behind its back goes with it. Without children the group is gone already.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(transport.get_pid(), signal.SIGKILL)
    try:
        with anyio.move_on_after(REAP_SECONDS, shield=True):
            await run.exited.wait()
        with anyio.move_on_after(LAST_WORDS_SECONDS, shield=True):
            await run.silent.wait()
    finally:
        transport.close()


def _document(delivery: Delivery) -> bytes:
    """Write what the command reads; payload and metadata pass through as they are stored."""
    return orjson.dumps(
        {
            "delivery_id": str(delivery.delivery_id),
            "channel": delivery.channel,
            "recipient": delivery.recipient,
            "payload": orjson.Fragment(delivery.payload_json),
            "attempt_number": delivery.attempt_number,
            "tenant_id": delivery.tenant_id,
            "notification_key": delivery.notification_key,
            "correlation_id": delivery.correlation_id,
            "idempotency_key": delivery.idempotency_key,
            "metadata": orjson.Fragment(delivery.metadata_json),
        },
        option=orjson.OPT_APPEND_NEWLINE,
    )


def _not_started(error: OSError) -> Outcome:
    detail = f"the command could not be started: {error.strerror or type(error).__name__}"
    # Else it is the machine: no memory, no process, no descriptor, no space. It mends by itself.
    kind = Misconfigured if error.errno in _NOT_A_PROGRAM else Unavailable
    return kind(detail=detail)
