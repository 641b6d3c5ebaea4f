"""The doorbell under random producers: nobody waits for the poll; without the bell all goes out.

    round   producers at random, several at once ─▶ silence ─▶ all that was committed has gone out

The silence is the test: a wake-up that was lost is healed by the next commit that rings, so there
must be none. The poll comes six times later than a round waits.
"""

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from random import Random
from typing import NamedTuple
from uuid import UUID

import anyio
import asyncpg
import pytest
from engine import Bell, Connection, check_invariants
from running import running

pytestmark = pytest.mark.anyio

PRODUCERS = 8
CROWDS = (2, 3, 5, PRODUCERS, PRODUCERS)
"""How many of them work in a round."""
POLL = "60s"
SILENCE_SECONDS = 10.0
LOOK_SECONDS = 0.005

CHANNELS = {"bin": {"adapter": "sink", "concurrency": 100}}
LONGEST_HOLDS = (0.01, 0.03, 0.1, 0.1, 0.5)
"""How long a round's transactions stay open after an insert, at most: seconds."""
LONGEST_HOLD = 2.0
SHORTEST_HOLD = 0.001

INSERT = """
insert into chimeway.deliveries (channel, recipient, payload)
select 'bin', 'ada', '{}' from generate_series(1, $1::integer)
returning id
"""
UNDER_WAY = "select id, status from chimeway.deliveries where finished_at is null"
STORED = """
select d.id, count(a.delivery_id) as attempts
from chimeway.deliveries as d
left join chimeway.delivery_attempts as a on a.delivery_id = d.id
group by d.id
"""


class Plan(NamedTuple):
    """How many rounds, and after how many of them one comes with very long transactions."""

    seed: int
    rounds: int
    rounds_per_long_one: int = 15


class Producer:
    """One session that inserts at random, and what it has committed."""

    def __init__(self, connection: Connection, random: Random) -> None:
        self.committed: set[UUID] = set()
        self.undone: set[UUID] = set()
        self._connection = connection
        self._random = random
        self._longest_hold = SHORTEST_HOLD

    async def work(self, longest_hold: float, *, is_noisy: bool) -> None:
        """Do a few things, one after the other; noise at the bell is other people's."""
        self._longest_hold = longest_hold
        steps: list[Callable[[], Awaitable[object]]] = [
            *(self._insert_one, self._insert_many, self._pause),
            *(self._transaction, self._transaction, self._transaction, self._savepoints),
            *((self._ring, self._arm) if is_noisy else ()),
        ]
        for step in self._random.choices(steps, k=self._random.randint(1, 4)):
            await step()

    async def _insert_one(self) -> None:
        self.committed |= await self._insert(1)

    async def _insert_many(self) -> None:
        self.committed |= await self._insert(self._random.randint(2, 50))

    async def _transaction(self) -> None:
        """Insert once or twice with a pause after each; roll back one time in four."""
        inserted: set[UUID] = set()
        transaction = self._begin()
        await transaction.start()
        for _ in range(self._random.randint(1, 2)):
            inserted |= await self._insert(self._random.randint(1, 3))
            await self._pause()
        if self._random.random() < 0.25:
            await transaction.rollback()
            self.undone |= inserted
        else:
            await transaction.commit()
            self.committed |= inserted

    async def _savepoints(self) -> None:
        """Insert in savepoints, of which some are rolled back, and commit what is left."""
        kept: set[UUID] = set()
        transaction = self._begin()
        await transaction.start()
        for _ in range(self._random.randint(1, 3)):
            savepoint = self._connection.transaction()
            await savepoint.start()
            inserted = await self._insert(1)
            await self._pause()
            if self._random.random() < 0.5:
                await savepoint.rollback()
                self.undone |= inserted
            else:
                await savepoint.commit()
                kept |= inserted
        await transaction.commit()
        self.committed |= kept

    async def _ring(self) -> None:
        await self._connection.execute("select chimeway.ring()")

    async def _arm(self) -> None:
        """Say that a daemon falls asleep, as another one would."""
        await self._connection.execute("select nextval('chimeway.bell_armed')")

    async def _pause(self) -> None:
        # Short ones are as likely as long ones: the shortest races are over in milliseconds.
        longest = math.log(self._longest_hold / SHORTEST_HOLD)
        await anyio.sleep(SHORTEST_HOLD * math.exp(self._random.uniform(0, longest)))

    def _begin(self) -> asyncpg.transaction.Transaction:
        return self._connection.transaction(
            isolation=self._random.choice(["read_committed", "repeatable_read"])
        )

    async def _insert(self, count: int) -> set[UUID]:
        return {row["id"] for row in await self._connection.fetch(INSERT, count)}


@asynccontextmanager
async def producers(
    dsn: str, seed: int, prepare: str = "select 1"
) -> AsyncIterator[list[Producer]]:
    """Connect the producers; `prepare` is run in the session of each."""
    async with AsyncExitStack() as stack:
        connected = []
        for number in range(PRODUCERS):
            connection = await asyncpg.connect(dsn)
            stack.push_async_callback(connection.close)
            await connection.execute(prepare)
            random = Random(f"{seed} {number}")  # noqa: S311 - to be repeated, not to be secret
            connected.append(Producer(connection, random))
        yield connected


async def stress(connection: Connection, working: list[Producer], plan: Plan) -> None:
    """Run the rounds; after each, all that was committed must go out before the poll comes."""
    random = Random(plan.seed)  # noqa: S311 - to be repeated, not to be secret
    for number in range(1, plan.rounds + 1):
        is_long = number % plan.rounds_per_long_one == 0
        longest_hold = LONGEST_HOLD if is_long else random.choice(LONGEST_HOLDS)
        # Noise, and a crowd, heal what was lost: not every round has them.
        work = partial(Producer.work, longest_hold=longest_hold, is_noisy=random.random() < 0.5)
        async with anyio.create_task_group() as together:
            for producer in random.sample(working, random.choice(CROWDS)):
                together.start_soon(work, producer)
        left = await left_after_silence(connection)
        assert left == [], f"nobody woke the daemon in round {number} of {plan}"


async def left_after_silence(connection: Connection) -> list[asyncpg.Record]:
    """Return what is not terminal when all is, or when the silence is over."""
    left = await connection.fetch(UNDER_WAY)
    with anyio.move_on_after(SILENCE_SECONDS):
        while left:
            await anyio.sleep(LOOK_SECONDS)
            left = await connection.fetch(UNDER_WAY)
    return left


async def check_that_each_was_sent_once(connection: Connection, working: list[Producer]) -> None:
    stored = await connection.fetch(STORED)
    committed = set[UUID]().union(*(producer.committed for producer in working))
    undone = set[UUID]().union(*(producer.undone for producer in working))
    assert committed
    assert undone
    assert {row["id"] for row in stored} == committed
    assert {row["attempts"] for row in stored} == {1}
    await check_invariants(connection)


@pytest.mark.parametrize(
    "plan",
    [
        Plan(seed=1, rounds=30),
        pytest.param(Plan(seed=2, rounds=360), marks=[pytest.mark.long, pytest.mark.timeout(900)]),
    ],
    ids=["short", "long"],
)
async def test_no_wake_up_is_lost_whatever_producers_do(
    dsn: str, connection: Connection, plan: Plan
) -> None:
    async with (
        running(dsn, CHANNELS, poll_interval=POLL),
        producers(dsn, plan.seed) as working,
    ):
        await stress(connection, working, plan)

    await check_that_each_was_sent_once(connection, working)


async def test_everything_goes_out_when_no_producer_notifies(
    dsn: str, connection: Connection
) -> None:
    plan = Plan(seed=3, rounds=6)
    bell = Bell(connection)
    await bell.listen()

    async with (
        running(dsn, CHANNELS, poll_interval="200ms"),
        producers(dsn, plan.seed, "set chimeway.notify = off") as working,
    ):
        await stress(connection, working, plan)

    assert await bell.rings() == 0
    await check_that_each_was_sent_once(connection, working)


async def test_everything_goes_out_when_the_daemon_cannot_hear(
    dsn: str, empty_dsn: str, connection: Connection
) -> None:
    plan = Plan(seed=4, rounds=6)
    bell = Bell(connection)
    await bell.listen()

    async with (
        running(dsn, CHANNELS, poll_interval="200ms", listen_dsn=empty_dsn),
        producers(dsn, plan.seed) as working,
    ):
        await stress(connection, working, plan)

    assert await bell.rings() > 0
    await check_that_each_was_sent_once(connection, working)
