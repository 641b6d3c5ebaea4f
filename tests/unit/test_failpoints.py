"""Fail points: what is read, what is refused, and what happens at one."""

from collections.abc import Iterator

import anyio
import pytest

from chimewayd import failpoints
from chimewayd.errors import ConfigError
from chimewayd.failpoints import Action, Failpoint, InjectedError, Point

pytestmark = pytest.mark.anyio

LONG_SECONDS = 3600.0
FOR_TESTS = "on"


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    """Leave nothing armed for the next test."""
    yield
    failpoints.armed.clear()


@pytest.mark.parametrize(
    ("specification", "found"),
    [
        ("", {}),
        (" ; ", {}),
        ("after_claim=kill", {Point.AFTER_CLAIM: Failpoint(Action.KILL)}),
        (
            "before_record=raise@2; in_call=delay:200ms;",
            {
                Point.BEFORE_RECORD: Failpoint(Action.RAISE, only_hit=2),
                Point.IN_CALL: Failpoint(Action.DELAY, 0.2),
            },
        ),
        ("on_drain=delay:1m30s@12", {Point.ON_DRAIN: Failpoint(Action.DELAY, 90.0, 12)}),
        ("on_listen = hang", {Point.ON_LISTEN: Failpoint(Action.HANG)}),
    ],
)
def test_specification_names_points_actions_and_hits(
    specification: str, found: dict[Point, Failpoint]
) -> None:
    assert failpoints.parse(specification) == found


@pytest.mark.parametrize(
    ("specification", "said", "allowed"),
    [
        ("after_clam=kill", "'after_clam'", "after_claim, before_call"),
        ("after_claim=die", "'die'", "kill, raise, hang, delay"),
        ("after_claim", "'after_claim'", "point=action"),
        ("after_claim=kill@0", "'after_claim=kill@0'", "@k"),
        ("after_claim=kill@x", "'after_claim=kill@x'", "@k"),
        ("after_claim=kill=hang", "'kill=hang'", "kill, raise, hang, delay"),
        ("after_claim=kill:2s", "after_claim: kill takes no duration", "after_claim=kill"),
        ("after_claim=delay", "after_claim: delay has no duration", "after_claim=delay:200ms"),
        ("after_claim=delay:200", "after_claim: the duration of delay has no unit", "200ms"),
        ("after_claim=kill;after_claim=hang", "after_claim is given twice", "once"),
    ],
)
def test_malformed_specification_is_refused_with_what_is_known(
    specification: str, said: str, allowed: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        failpoints.arm(specification, FOR_TESTS)

    assert refused.value.setting == "CHIMEWAYD_FAILPOINTS"
    assert said in refused.value.problem
    assert allowed in str(refused.value.allowed)
    assert not failpoints.armed


@pytest.mark.parametrize("answer", [None, "", "off", "ON ", "true"])
def test_database_that_is_not_for_tests_is_refused(answer: str | None) -> None:
    with pytest.raises(ConfigError, match=r"alter database .* set chimeway\.is_test = 'on'"):
        failpoints.arm("after_claim=kill", answer)

    assert not failpoints.armed


async def test_point_that_is_not_armed_does_nothing() -> None:
    failpoints.arm("after_claim=kill", FOR_TESTS)

    await failpoints.reach(Point.BEFORE_CLAIM)


async def test_raise_without_a_hit_raises_each_time() -> None:
    failpoints.arm("before_claim=raise", FOR_TESTS)

    for _ in range(2):
        with pytest.raises(InjectedError, match="before_claim"):
            await failpoints.reach(Point.BEFORE_CLAIM)


async def test_hit_is_the_only_one_that_counts(capfd: pytest.CaptureFixture[str]) -> None:
    failpoints.arm("before_claim=raise@2", FOR_TESTS)

    await failpoints.reach(Point.BEFORE_CLAIM)
    with pytest.raises(InjectedError):
        await failpoints.reach(Point.BEFORE_CLAIM)
    await failpoints.reach(Point.BEFORE_CLAIM)

    assert capfd.readouterr().err == "failpoint before_claim: raise\n"


@pytest.mark.parametrize("action", ["hang", f"delay:{LONG_SECONDS:.0f}s"])
async def test_hang_and_delay_end_when_they_are_cancelled(action: str) -> None:
    failpoints.arm(f"on_drain={action}", FOR_TESTS)
    went_on = False

    async with anyio.create_task_group() as tasks:

        async def wait() -> None:
            nonlocal went_on
            await failpoints.reach(Point.ON_DRAIN)
            went_on = True

        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()

    assert not went_on


async def test_call_begins_before_the_point_in_it_and_has_ended_at_the_one_after_it() -> None:
    failpoints.arm("in_call=raise;after_call=raise", FOR_TESTS)
    steps = []

    async def call(name: str) -> str:
        steps.append(f"{name} began")
        try:
            await anyio.sleep(LONG_SECONDS)
        finally:
            steps.append(f"{name} was cut")
        return name

    with pytest.raises(ExceptionGroup) as raised:
        await failpoints.around_call(call, "it")

    assert raised.group_contains(InjectedError, match="in_call")
    assert steps == ["it began", "it was cut"]


async def test_call_that_does_not_wait_passes_the_point_in_it() -> None:
    failpoints.arm("in_call=delay:0s;after_call=delay:0s", FOR_TESTS)

    async def call(name: str) -> str:
        return name

    assert await failpoints.around_call(call, "it") == "it"
    assert failpoints.armed[Point.IN_CALL].hits == 1
    assert failpoints.armed[Point.AFTER_CALL].hits == 1
