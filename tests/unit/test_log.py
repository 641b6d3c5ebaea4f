"""Log lines: their form, their level, where they go, and who else writes them."""

import io
import logging
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
import structlog
from loglines import URL, lines, restored_logging, started

from chimewayd import log
from chimewayd.log import Event


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    with restored_logging():
        yield


class Terminal(io.BytesIO):
    """Collects what a terminal would get."""

    def isatty(self) -> bool:
        return True


def test_event_names_are_snake_case_and_equal_their_members() -> None:
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)+", event) for event in Event)
    assert all(event.name.lower() == event.value for event in Event)


def test_a_line_is_json_with_time_level_event_and_then_the_fields() -> None:
    out = started()

    structlog.get_logger().info(Event.DAEMON_READY, channels=2, name="a")

    [line] = lines(out)
    assert list(line) == ["ts", "level", "event", "channels", "name"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["ts"])
    assert (line["level"], line["event"], line["channels"]) == ("info", "daemon_ready", 2)


def test_a_line_without_fields_is_whole() -> None:
    out = started()

    structlog.get_logger().info(Event.DAEMON_READY)
    log.emit_many("info", Event.DAEMON_READY, [{}])

    assert [list(line) for line in lines(out)] == [["ts", "level", "event"]] * 2


def test_bound_context_is_part_of_each_line() -> None:
    out = started()

    with structlog.contextvars.bound_contextvars(daemon="a"):
        structlog.get_logger().info(Event.DAEMON_READY)
        log.emit_many("info", Event.ATTEMPT_RECORDED, [{"attempt": 1}])

    assert [line["daemon"] for line in lines(out)] == ["a", "a"]


def test_the_level_holds_back_what_is_below_it() -> None:
    out = started(level="warning")

    structlog.get_logger().info(Event.DAEMON_READY)
    structlog.get_logger().warning(Event.LISTENER_LOST)
    log.emit_many("info", Event.DAEMON_READY, [{}])
    log.emit_many("error", Event.DAEMON_FAILED, [{}])

    assert [line["event"] for line in lines(out)] == ["listener_lost", "daemon_failed"]


@pytest.mark.parametrize(
    ("fmt", "out", "is_json"),
    [
        ("auto", io.BytesIO(), True),
        ("auto", Terminal(), False),
        ("json", Terminal(), True),
        ("console", io.BytesIO(), False),
    ],
)
def test_the_format_is_json_unless_on_a_terminal_or_chosen(
    fmt: str, out: io.BytesIO, is_json: bool
) -> None:
    started(fmt, out=out)

    structlog.get_logger().info(Event.DAEMON_READY)

    assert out.getvalue().startswith(b"{") is is_json


@pytest.mark.parametrize(
    ("environment", "has_colors"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True)],
)
def test_colors_are_for_terminals_that_want_them(
    environment: dict[str, str], has_colors: bool
) -> None:
    out = Terminal()
    log.setup("info", "auto", out, environment)

    structlog.get_logger().info(Event.DAEMON_READY)

    assert (b"\x1b[" in out.getvalue()) is has_colors


@pytest.mark.parametrize(
    ("level", "prefix"), [("info", "<6>"), ("warning", "<4>"), ("error", "<3>")]
)
@pytest.mark.parametrize("fmt", ["json", "console"])
def test_each_line_to_the_journal_begins_with_its_priority(
    tmp_path: Path, fmt: str, level: str, prefix: str
) -> None:
    path = tmp_path / "journal"
    with path.open("wb") as out:
        status = os.fstat(out.fileno())
        journal = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        log.setup("info", fmt, out, journal)

        getattr(structlog.get_logger(), level)(Event.DAEMON_FAILED, exc_info=ValueError("x"))
        log.emit_many(level, Event.DAEMON_FAILED, [{"n": 1}])

    written = path.read_text().splitlines()
    assert len(written) >= 2
    assert all(line.startswith(prefix) for line in written)


def test_a_stream_that_is_not_the_journal_gets_no_priority(tmp_path: Path) -> None:
    path = tmp_path / "other"
    with path.open("wb") as out:
        log.setup("info", "json", out, {"JOURNAL_STREAM": "1:2"})
        structlog.get_logger().info(Event.DAEMON_READY)

    assert path.read_text().startswith("{")


def test_what_json_has_no_form_for_is_still_written() -> None:
    out = started()
    circular: list[object] = []
    circular.append(circular)
    fields = {
        "big": 2**70,
        "surrogate": "\ud800",
        "error": ValueError("x"),
        "circular": circular,
        "uuid": asyncpg.pgproto.pgproto.UUID("00000000-0000-4000-8000-000000000001"),
    }

    structlog.get_logger().info(Event.DAEMON_READY, **fields)

    [line] = lines(out)
    assert line["big"] == str(2**70)
    assert line["error"] == "ValueError: x"
    assert line["uuid"] == "00000000-0000-4000-8000-000000000001"


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_line_holds_nothing_that_a_terminal_obeys(form: str) -> None:
    out = started(form)

    structlog.get_logger().info(Event.DAEMON_READY, reason="a\n\x1b[2J\u202eb\x85c\u2028d")

    assert out.getvalue().decode().removesuffix("\n").isprintable()


def test_a_field_cannot_pass_for_the_level_of_its_line() -> None:
    out = started()

    structlog.get_logger().info(Event.DAEMON_READY, level="error", ts="never")

    [line] = lines(out)
    assert (line["level"], line["level_"], line["ts_"]) == ("info", "error", "never")


def test_records_of_libraries_and_warnings_become_events() -> None:
    out = started()

    logging.getLogger("asyncpg.pool").warning("lost %s", URL)
    logging.getLogger("asyncpg.pool").info("not worth it")
    logging.getLogger("asyncio").critical("bad", exc_info=ValueError("x"))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        warnings.warn("old thing", stacklevel=1)

    lost, bad, old = lines(out)
    assert {line["event"] for line in (lost, bad, old)} == {"library_log"}
    assert (lost["level"], lost["logger"]) == ("warning", "asyncpg.pool")
    assert lost["message"] == "lost postgresql://user:***@h/d"
    assert bad["level"] == "error"
    assert "ValueError: x" in bad["exception"]
    assert "old thing" in old["message"]


def test_a_second_set_up_does_not_double_the_lines_of_libraries() -> None:
    started()
    out = started()

    logging.getLogger("asyncpg").warning("once")

    assert len(lines(out)) == 1
