"""What the stages do while the database is away."""

import gc
import io
import weakref
from collections.abc import Iterator

import anyio
import pytest
from loglines import lines, restored_logging, started

from chimewayd import outage as outage_module
from chimewayd.errors import DatabaseUnavailable, Locked
from chimewayd.outage import Outage

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage_module, "FIRST_WAIT_SECONDS", 0.001)
    monkeypatch.setattr(outage_module, "LONGEST_WAIT_SECONDS", 0.002)


@pytest.fixture
def log_lines() -> Iterator[io.BytesIO]:
    with restored_logging():
        yield started()


class Database:
    """Does not answer the first questions."""

    def __init__(
        self, refusals: int, error: type[DatabaseUnavailable] = DatabaseUnavailable
    ) -> None:
        self._refusals = refusals
        self._error = error
        self.asked = 0

    async def ask(self) -> str:
        self.asked += 1
        if self.asked <= self._refusals:
            raise self._error(f"refused {self.asked}")
        return "answer"


async def test_question_is_asked_until_there_is_an_answer() -> None:
    database = Database(refusals=3)

    with anyio.fail_after(5):
        answer = await Outage().outlast(database.ask)

    assert answer == "answer"
    assert database.asked == 4


async def test_outage_is_said_once_and_its_end_once(log_lines: io.BytesIO) -> None:
    with anyio.fail_after(5):
        await Outage().outlast(Database(refusals=3).ask)

    lost, restored = lines(log_lines)
    assert (lost["event"], lost["error"]) == ("database_lost", "refused 1")
    assert restored["event"] == "database_restored"
    assert restored["away_seconds"] >= 0


async def test_outage_that_several_stages_see_is_said_once(log_lines: io.BytesIO) -> None:
    outage = Outage()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(outage.outlast, Database(refusals=1).ask)

    assert [line["event"] for line in lines(log_lines)] == ["database_lost", "database_restored"]


async def test_nothing_is_said_without_an_outage(log_lines: io.BytesIO) -> None:
    await Outage().outlast(Database(refusals=0).ask)

    assert lines(log_lines) == []


async def test_lock_of_somebody_else_is_waited_for_and_is_no_outage(log_lines: io.BytesIO) -> None:
    database = Database(refusals=3, error=Locked)

    with anyio.fail_after(5):
        answer = await Outage().outlast(database.ask)

    assert (answer, database.asked) == ("answer", 4)
    assert lines(log_lines) == []


async def test_lock_of_somebody_else_shows_that_the_database_is_back(log_lines: io.BytesIO) -> None:
    outage = Outage()
    outage.begin(DatabaseUnavailable("away"))

    with anyio.fail_after(5):
        await outage.outlast(Database(refusals=1, error=Locked).ask)

    assert [line["event"] for line in lines(log_lines)] == ["database_lost", "database_restored"]


async def test_other_errors_are_not_outlasted() -> None:
    async def ask() -> None:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        await Outage().outlast(ask)


async def test_waiting_for_the_database_can_be_cancelled() -> None:
    async def ask() -> None:
        raise DatabaseUnavailable("never there")

    with anyio.fail_after(5), anyio.move_on_after(0.02) as scope:
        await Outage().outlast(ask)

    assert scope.cancelled_caught


async def test_what_an_outage_leaves_behind_is_freed_when_it_ends() -> None:
    class Leftover:
        """An error's frames and the error name each other."""

        def __init__(self) -> None:
            self.itself = self

    outage = Outage()
    outage.begin(DatabaseUnavailable("away"))
    gc.disable()
    try:
        leftover = weakref.ref(Leftover())
        outage.end()
    finally:
        gc.enable()

    assert leftover() is None
