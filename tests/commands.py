"""Runs the installed `chimewayd` to its end, in an environment without a word about databases."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

COMMAND = Path(sys.executable).with_name("chimewayd")
DEADLINE_SECONDS = 30.0

_NOT_INHERITED = (
    *("PG", "CHIMEWAYD_", "NO_COLOR", "COLUMNS", "CREDENTIALS_DIRECTORY"),
    "PYTHONUNBUFFERED",  # what is left in a buffer at the end is part of the test
)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.stdout)


async def chimewayd(
    *arguments: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None
) -> Ended:
    """Run the command with these arguments."""
    with anyio.fail_after(DEADLINE_SECONDS):
        ended = await anyio.run_process(
            [str(COMMAND), *arguments],
            input=stdin,
            env=clean_environment() | dict(environment or {}),
            check=False,
        )
    return Ended(ended.returncode, ended.stdout.decode(), ended.stderr.decode())


def clean_environment() -> dict[str, str]:
    """Return our own environment without what changes what a command does or prints."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)
    }
