"""Producers: they insert at a rate, and write down what they tried and what they were told.

Each line of the file is a word and ids: `tried` before the statement is sent, `acknowledged` after
its commit was heard, `rolled_back` after a rollback. What was tried and neither may exist or not.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from uuid import UUID, uuid4

import anyio
import asyncpg

from faults.cluster import NOT_YET, Connection

INSERT = """
insert into chimeway.deliveries (id, channel, recipient, payload)
select t.id, t.channel, t.recipient, '{"subject": "Hello", "text": "…"}'
from unnest($1::uuid[], $2::text[], $3::text[]) as t (id, channel, recipient)
"""
CALL_SECONDS = 5.0
RECONNECT_SECONDS = 0.1
PRODUCERS = 2
ROLLED_BACK = 0.05
LONGEST_BATCH = 8
FILL_BATCH = 5000


@dataclass(frozen=True, slots=True)
class Stream:
    """Deliveries of one kind: so many of the whole go here."""

    channel: str
    recipient: str
    share: float = 1.0


@dataclass(slots=True)
class Told:
    """What the producers know."""

    tried: set[UUID] = field(default_factory=set)
    acknowledged: set[UUID] = field(default_factory=set)
    rolled_back: set[UUID] = field(default_factory=set)


class Load:
    """Producers that insert until they are stopped."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        streams: Callable[[], Sequence[Stream]],
        rate: float,
        random: Random,
        file: Path,
    ) -> None:
        self.rate = rate
        """Deliveries a second, of all producers together."""
        self.file = file
        self._connect = connect
        self._streams = streams
        self._random = random
        self._stopped = anyio.Event()
        self._ended = anyio.Event()
        self._out = file.open("a", buffering=1)

    async def run(self) -> None:
        """Insert until `stop`; whatever the database does, go on."""
        async with anyio.create_task_group() as producers:
            for _ in range(PRODUCERS):
                producers.start_soon(self._produce)
            await self._stopped.wait()
        self._out.close()
        self._ended.set()

    async def stop(self) -> None:
        """End after the statements under way, and wait for that."""
        self._stopped.set()
        await self._ended.wait()

    async def _produce(self) -> None:
        connection: Connection | None = None
        due = time.monotonic()
        while not self._stopped.is_set():
            ids = [self._new_id() for _ in range(self._random.randint(1, LONGEST_BATCH))]
            due = max(due + len(ids) * PRODUCERS / self.rate, time.monotonic() - 1)
            try:
                if connection is None:
                    connection = await self._connect()
                await self._insert(connection, ids)
            except (*NOT_YET, asyncpg.PostgresError):
                if connection is not None:
                    connection.terminate()
                connection = None
                await anyio.sleep(RECONNECT_SECONDS)
            await anyio.sleep(max(0.0, due - time.monotonic()))
        if connection is not None:
            connection.terminate()

    async def _insert(self, connection: Connection, ids: list[UUID]) -> None:
        streams = self._streams()
        chosen = self._random.choices(streams, [s.share for s in streams], k=len(ids))
        rows = (ids, [s.channel for s in chosen], [s.recipient for s in chosen])
        takes_back = self._random.random() < ROLLED_BACK
        self._say("rolled_back" if takes_back else "tried", ids)
        if takes_back:
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute(INSERT, *rows, timeout=CALL_SECONDS)
            await transaction.rollback()
        else:
            await connection.execute(INSERT, *rows, timeout=CALL_SECONDS)
            self._say("acknowledged", ids)

    def _new_id(self) -> UUID:
        return UUID(int=self._random.getrandbits(128), version=4)

    def _say(self, word: str, ids: Sequence[UUID]) -> None:
        self._out.write(f"{word} {' '.join(map(str, ids))}\n")


async def fill(connection: Connection, stream: Stream, count: int, file: Path) -> None:
    """Insert so many deliveries, in large batches, and write them down as a producer does."""
    with file.open("a", buffering=1) as out:
        for begin in range(0, count, FILL_BATCH):
            ids = [uuid4() for _ in range(min(FILL_BATCH, count - begin))]
            size = len(ids)
            out.write(f"tried {' '.join(map(str, ids))}\n")
            rows = (ids, [stream.channel] * size, [stream.recipient] * size)
            await connection.execute(INSERT, *rows)
            out.write(f"acknowledged {' '.join(map(str, ids))}\n")


def read(file: Path) -> Told:
    """Read a producers' file."""
    told = Told()
    sets = {
        "tried": told.tried,
        "acknowledged": told.acknowledged,
        "rolled_back": told.rolled_back,
    }
    for line in file.read_text().splitlines():
        word, *ids = line.split()
        sets[word].update(map(UUID, ids))
    return told
