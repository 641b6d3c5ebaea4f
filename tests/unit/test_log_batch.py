"""Batches of log lines: the same as the lines one by one, only cheaper."""

import io
import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
import structlog
from loglines import HOSTILE, SECRET, URL, lines, restored_logging, started

from chimewayd import log
from chimewayd.log import Event


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    with restored_logging():
        yield


BATCH: list[dict[str, Any]] = [
    {"attempt": 1, "delivery_id": UUID(int=1), "detail": None, "seconds": 0.5},
    {},
    {"text": "},{"},
    {"text": HOSTILE},
    {"url": URL},
    {"token": SECRET},
    {"nested": {"a": [1, {"b": URL}]}},
    {"big": 2**70},
    {"error": ValueError("x")},
    {"level": "mine"},
]


@pytest.mark.parametrize("batch", [BATCH, BATCH[:1] * 3, *([fields] for fields in BATCH)], ids=len)
def test_a_batch_reads_like_its_lines_one_by_one(batch: list[dict[str, Any]]) -> None:
    out_of_batch, one_by_one = started(), io.BytesIO()
    log.emit_many("warning", Event.ATTEMPT_RECORDED, batch)

    started(out=one_by_one)
    for fields in batch:
        structlog.get_logger().warning(Event.ATTEMPT_RECORDED, **fields)

    assert _without_time(out_of_batch) == _without_time(one_by_one)
    assert len(lines(out_of_batch)) == len(batch)


def test_a_batch_in_the_console_reads_like_its_lines_one_by_one() -> None:
    batch: list[dict[str, Any]] = [{"a": 1}, {"url": URL}, {"text": HOSTILE}]
    out_of_batch, one_by_one = started("console"), io.BytesIO()
    log.emit_many("warning", Event.ATTEMPT_RECORDED, batch)

    started("console", out=one_by_one)
    for fields in batch:
        structlog.get_logger().warning(Event.ATTEMPT_RECORDED, **fields)

    assert _without_time(out_of_batch) == _without_time(one_by_one)


def test_a_batch_has_one_time_and_is_one_write() -> None:
    class Counting(io.BytesIO):
        writes = 0

        def write(self, data: Any) -> int:
            self.writes += 1
            return super().write(data)

    out = Counting()
    started(out=out)

    log.emit_many("info", Event.ATTEMPT_RECORDED, [{"attempt": n} for n in range(50)])
    log.emit_many("info", Event.ATTEMPT_RECORDED, [])
    log.emit_many("debug", Event.ATTEMPT_RECORDED, [{}])

    assert out.writes == 1
    assert len({line["ts"] for line in lines(out)}) == 1
    assert [line["attempt"] for line in lines(out)] == list(range(50))


def _without_time(stream: io.BytesIO) -> str:
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", stream.getvalue().decode())
