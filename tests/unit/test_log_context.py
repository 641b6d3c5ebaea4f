"""Ids of a call in the lines of whoever logs during it."""

import contextvars
import logging
import threading
from collections.abc import Iterator

import pytest
import structlog
from loglines import lines, restored_logging, started

from chimewayd import log, log_context
from chimewayd.log import Event


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    with restored_logging():
        yield


def in_call(ids: dict[str, object], speak: object) -> None:
    """Run something in a context of its own, with ids bound."""

    def run() -> None:
        log_context.bind_ids(lambda: ids)
        assert callable(speak)
        speak()

    contextvars.copy_context().run(run)


def test_lines_of_libraries_carry_the_ids_of_the_call() -> None:
    out = started()

    in_call({"delivery_id": "d-1"}, lambda: logging.getLogger("lib").warning("odd"))
    logging.getLogger("lib").warning("outside")

    assert [line.get("delivery_id") for line in lines(out)] == ["d-1", None]


def test_ids_are_those_of_the_moment_and_a_line_may_say_its_own() -> None:
    out = started()
    ids: dict[str, object] = {"delivery_id": "d-1"}

    def speak() -> None:
        structlog.get_logger().warning(Event.ADAPTER_ABANDONED)
        ids["delivery_id"] = "d-2"
        structlog.get_logger().warning(Event.ADAPTER_ABANDONED)
        structlog.get_logger().warning(Event.ADAPTER_ABANDONED, delivery_id="own")

    in_call(ids, speak)

    assert [line["delivery_id"] for line in lines(out)] == ["d-1", "d-2", "own"]


def test_thread_that_takes_the_context_along_carries_the_ids() -> None:
    out = started()

    def speak() -> None:
        context = contextvars.copy_context()
        warn = logging.getLogger("lib").warning
        thread = threading.Thread(target=context.run, args=(warn, "odd"))
        thread.start()
        thread.join()

    in_call({"delivery_id": "d-1"}, speak)

    assert [line["delivery_id"] for line in lines(out)] == ["d-1"]


@pytest.mark.parametrize("fmt", ["json", "console"])
def test_one_of_several_daemons_names_itself(fmt: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_context, "instance", "mail-2")
    out = started(fmt)

    structlog.get_logger().info(Event.DAEMON_READY)
    log.emit_many("info", Event.ATTEMPT_RECORDED, [{"attempt": 1}])

    assert [b"mail-2" in line for line in out.getvalue().splitlines()] == [True, True]
    if fmt == "json":
        assert list(lines(out)[0]) == ["ts", "level", "event", "instance"]
