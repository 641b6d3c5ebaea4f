"""Reads the daemon's log: how many attempts are recorded, and when the last one was.

Each line is written when its record's commit has been heard of, with that moment in it. So the
benchmark sees each outcome without a single query beside the measured ones.
"""

import asyncio
import json
import time
from datetime import datetime
from pathlib import Path

from bench.processes import Child, ChildError

MARK = b'"event":"attempt_recorded"'
LOOK_SECONDS = 0.02


class Recorded:
    """The attempts that a log tells of, from its beginning."""

    def __init__(self, log: Path) -> None:
        self.count = 0
        self.last_at = 0.0
        """Unix seconds; 0: none."""
        self._file = log.open("rb")
        self._rest = b""

    def close(self) -> None:
        """Stop reading."""
        self._file.close()

    async def until(self, count: int, child: Child, deadline: float) -> bool:
        """Wait for so many, until a moment in unix seconds; tell whether they came.

        Raises:
            ChildError: the process has ended.
        """
        while not self.reaches(count):
            if child.has_ended:
                raise ChildError("chimewayd ended; its log says why")
            if time.time() > deadline:
                return False
            await asyncio.sleep(LOOK_SECONDS)
        return True

    def reaches(self, count: int) -> bool:
        """Read what is new, and tell whether there are so many by now."""
        text = self._rest + self._file.read()
        whole, _, self._rest = text.rpartition(b"\n")
        self.count += whole.count(MARK)
        if (begin := whole.rfind(MARK)) >= 0:
            line = whole[whole.rfind(b"\n", 0, begin) + 1 :].partition(b"\n")[0]
            self.last_at = datetime.fromisoformat(json.loads(line)["ts"]).timestamp()
        return self.count >= count
