"""What counts as standing still, and what does not."""

import anyio
import pytest
from deliveries import PLENTY, delivery

from chimewayd.errors import DatabaseUnavailable, Locked
from chimewayd.outage import Outage
from chimewayd.outbox import Outbox
from chimewayd.progress import Watch, to_do
from chimewayd.readiness import Readiness
from chimewayd.slots import Slots

pytestmark = pytest.mark.anyio


def test_stage_that_moves_never_stands_still() -> None:
    watch = Watch(30)

    assert [watch.look(now, {"claim": now}) for now in range(0, 200, 5)] == [[]] * 40


def test_stage_stands_still_once_its_limit_is_over_and_not_before() -> None:
    watch = Watch(30)

    found = [watch.look(now, {"claim": 7, "record": now}) for now in (0, 15, 30, 31)]

    assert found == [[], [], [], ["claim"]]


def test_stage_that_had_nothing_to_do_in_between_begins_anew() -> None:
    watch = Watch(30)
    watch.look(0, {"record": 1})
    watch.look(20, {})
    watch.look(25, {"record": 1})

    assert watch.look(50, {"record": 1}) == []
    assert watch.look(56, {"record": 1}) == ["record"]


def marks(slots: Slots, outbox: Outbox[object], outage: Outage) -> set[str]:
    return set(to_do(slots, {"record": outbox}, outage, Readiness()))


async def test_idle_daemon_has_to_claim_and_nothing_else() -> None:
    outbox = Outbox[object]()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outbox.take, 1)
        await anyio.wait_all_tasks_blocked()

        assert marks(Slots(2, {"mail": 2}, PLENTY), outbox, Outage()) == {"claim"}
        outbox.close()


async def test_what_was_taken_out_of_an_outbox_is_to_be_done_until_the_next_is_wanted() -> None:
    outbox = Outbox[object]()
    outbox.put("a report")
    await outbox.take(1)

    assert "record" in marks(Slots(2, {"mail": 2}, PLENTY), outbox, Outage())


async def test_full_daemon_need_not_claim() -> None:
    slots = Slots(1, {"mail": 1}, PLENTY)
    slots.take([delivery("mail"), delivery("mail")])

    assert "claim" not in marks(slots, Outbox[object](), Outage())


async def test_delivery_that_could_start_is_to_be_run_and_one_behind_a_full_channel_is_not() -> (
    None
):
    slots = Slots(1, {"mail": 1}, PLENTY)
    waiting = [delivery("mail"), delivery("mail")]
    slots.take(waiting)
    slots.queue(waiting)

    before = marks(slots, Outbox[object](), Outage())
    slots.next()
    after = marks(slots, Outbox[object](), Outage())

    assert "run of mail" in before
    assert "run of mail" not in after


async def test_while_the_database_is_away_neither_claim_nor_record_stands_still() -> None:
    outage = Outage()
    outage.begin(DatabaseUnavailable("gone"))
    outbox = Outbox[object]()
    outbox.put("a report")

    assert marks(Slots(2, {"mail": 2}, PLENTY), outbox, outage) == set()


async def test_while_somebody_holds_a_lock_neither_claim_nor_record_stands_still() -> None:
    outage, has_let_go = Outage(), anyio.Event()
    outbox = Outbox[object]()
    outbox.put("a report")

    async def ask() -> None:
        if not has_let_go.is_set():
            raise Locked("somebody holds it")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outage.outlast, ask)
        await anyio.wait_all_tasks_blocked()
        assert marks(Slots(2, {"mail": 2}, PLENTY), outbox, outage) == set()
        has_let_go.set()

    assert marks(Slots(2, {"mail": 2}, PLENTY), outbox, outage) == {"claim", "record"}
