"""The witness outside the system: a receiver in a process of its own, and what it wrote down."""

import os
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import anyio

from faults.processes import LOOK_SECONDS, Argv, Child

START_SECONDS = 20.0
PARTS = 3


class Call(NamedTuple):
    """One request that arrived."""

    at: float
    """Unix seconds."""
    delivery_id: UUID
    path: str


class Ledger:
    """The running receiver."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "ledger"
        self._said = directory / "ledger.log"
        self._child: Child | None = None
        self._ports: list[str] = []

    async def start(self) -> None:
        """Start the receiver and wait for its ports.

        Raises:
            TimeoutError: it did not say them in time.
        """
        tests = Path(__file__).parents[1]
        argv: Argv = [sys.executable, "-m", "faults.ledger_process", self.file]
        self._child = Child(argv, self._said, os.environ | {"PYTHONPATH": str(tests)})
        with anyio.fail_after(START_SECONDS):
            while not self._ports:
                words = self._said.read_text().split()
                self._ports = words[1:] if len(words) > PARTS else []
                await anyio.sleep(LOOK_SECONDS)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._ports[0]}"

    @property
    def deaf_url(self) -> str:
        """It takes connections and never reads a word."""
        return f"http://127.0.0.1:{self._ports[1]}/"

    @property
    def refusing_url(self) -> str:
        return f"http://127.0.0.1:{self._ports[2]}/"

    def calls(self) -> list[Call]:
        """Everything that was written down so far, in order."""
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        split = (line.split(" ", 2) for line in lines)
        return [Call(float(at), UUID(delivery_id), path) for at, delivery_id, path in split]

    def count(self) -> Counter[UUID]:
        """How often each delivery arrived."""
        return Counter(call.delivery_id for call in self.calls())

    def end(self) -> None:
        if self._child is not None:
            self._child.end()
