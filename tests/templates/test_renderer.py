"""The processes that render: started when needed, bounded, and never left behind."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from chimewayd.models import Outcome, Temporary
from chimewayd.templates.renderer import WORKERS, Payload, Renderer
from chimewayd.testing.belongings import Belongings, left_since

pytestmark = pytest.mark.anyio

Write = Callable[..., None]

WAIT_SECONDS = 10
ENDLESS = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"


def workers(before: Belongings) -> set[int]:
    return set(Belongings.now().added_since(before).processes)


async def until(is_so: Callable[[], bool]) -> None:
    with anyio.fail_after(WAIT_SECONDS):
        while not is_so():  # noqa: ASYNC110 - nobody tells when a process comes or goes
            await anyio.sleep(0.01)


async def test_one_process_serves_many_renderings(renderer: Renderer, write: Write) -> None:
    write("hi", text="{{ n }}")
    before = Belongings.now()

    texts = [await renderer.render("hi", {"n": n}) for n in range(5)]

    assert [text.value for text in texts if isinstance(text, Payload)] == [
        {"text": str(n)} for n in range(5)
    ]
    assert len(workers(before)) == 1


async def test_processes_at_one_time_are_bounded(renderer: Renderer, write: Write) -> None:
    write("hi", text="hi")
    before = Belongings.now()

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(renderer.render, "hi", {})

    assert 1 <= len(workers(before)) <= WORKERS


async def test_cancelled_rendering_leaves_no_process(renderer: Renderer, write: Write) -> None:
    write("endless", text=ENDLESS)
    before = Belongings.now()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(renderer.render, "endless", {})
        await until(lambda: bool(workers(before)))
        tasks.cancel_scope.cancel()

    assert not any(await left_since(before, WAIT_SECONDS, threads=True))


async def test_rendering_cancelled_at_any_moment_leaves_no_process(
    renderer: Renderer, write: Write
) -> None:
    write("hi", text="hi")
    before = Belongings.now()

    for moments in range(20):
        rendering = asyncio.create_task(renderer.render("hi", {}))
        for _ in range(moments):
            await asyncio.sleep(0)
        rendering.cancel()
        await asyncio.wait([rendering])
        await renderer.close()

    assert not any(await left_since(before, WAIT_SECONDS, threads=True))


async def test_rendering_that_does_not_end_in_time_is_temporary(
    renderer: Renderer, write: Write
) -> None:
    write("endless", text=ENDLESS)
    before = Belongings.now()

    outcome: object = await renderer.render("endless", {}, within_seconds=0.3)

    assert isinstance(outcome, Temporary)
    assert outcome.detail == "template 'endless' was not rendered in time"
    assert not any(await left_since(before, WAIT_SECONDS, threads=True))


async def test_process_that_was_killed_is_replaced(renderer: Renderer, write: Write) -> None:
    write("hi", text="hi")
    before = Belongings.now()
    await renderer.render("hi", {})
    (killed,) = workers(before)
    os.kill(killed, signal.SIGKILL)
    await until(lambda: killed not in workers(before))

    rendered = await renderer.render("hi", {})

    assert isinstance(rendered, Payload)


async def test_closing_ends_the_processes(folder: Path, write: Write) -> None:
    write("hi", text="hi")
    before = Belongings.now()
    renderer = Renderer(folder)
    await renderer.render("hi", {})

    await renderer.close()

    assert not any(await left_since(before, WAIT_SECONDS, threads=True))


async def test_process_knows_nothing_of_our_environment(
    renderer: Renderer, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHIMEWAYD_DSN", "postgresql://ada:s3cret@db/app")
    write("hi", text="hi")
    before = Belongings.now()

    outcome: Payload | Outcome = await renderer.render("hi", {})

    (worker,) = workers(before)
    assert isinstance(outcome, Payload)
    assert b"s3cret" not in await anyio.Path(f"/proc/{worker}/environ").read_bytes()
