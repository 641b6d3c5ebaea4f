"""What cannot get through a log line: secrets, line breaks, terminal controls."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from loglines import HOSTILE, SECRET, URL, lines, restored_logging, started

from chimewayd import log
from chimewayd.log import Event
from chimewayd.redaction import redact_text


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    with restored_logging():
        yield


SECRETS: list[dict[str, Any]] = [
    {"password": SECRET},
    {"smtp_password": SECRET},
    {"X-Api-Key": SECRET},
    {"listen_dsn": SECRET},
    {"error": f"cannot reach {URL} now"},
    {"error": f"cannot reach postgresql://user:{SECRET}/x@h/d"},
    {"error": f"https://user:{SECRET}@example.org/"},
    {"error": f"postgresql:///d?user=a&password={SECRET}&x=1"},
    {"error": f"Settings(password='{SECRET} {SECRET}')"},
    {"error": f"{{'password': '{SECRET} {SECRET}'}}"},
    {"error": json.dumps({"token": f"{SECRET} {SECRET}"})},
    {"error": f"'password': '{SECRET}'"},
    {"error": f'"token": "{SECRET}"'},
    {"error": f"Bearer {SECRET}-{SECRET}"},
    {"error": f"whsec_{SECRET}"},
    {"error": ValueError(URL)},
    {"headers": {"Authorization": SECRET, "list": [URL, {"cookie": SECRET}]}},
    {"urls": [URL]},
]


@pytest.mark.parametrize("fields", SECRETS, ids=str)
@pytest.mark.parametrize("fmt", ["json", "console"])
def test_no_secret_is_written(fmt: str, fields: dict[str, Any]) -> None:
    out = started(fmt)

    structlog.get_logger().info(Event.DAEMON_READY, **fields)
    log.emit_many("info", Event.DAEMON_READY, [fields])

    text = out.getvalue().decode()
    assert SECRET not in text
    assert text.count("***") >= 2


@pytest.mark.parametrize("fmt", ["json", "console"])
def test_no_secret_is_written_in_a_traceback_and_no_local(fmt: str) -> None:
    out = started(fmt)

    local = f"{SECRET}-of-a-local"
    try:
        assert local
        _fail("cannot reach " + URL)
    except ConnectionError as error:
        structlog.get_logger().exception(Event.DATABASE_LOST)
        log.emit_many("error", Event.DATABASE_LOST, [{"exc_info": error}])

    text = out.getvalue().decode()
    assert text.count("Traceback") == 2
    assert text.count("postgresql://user:***@h/d") == 2
    assert SECRET not in text


@pytest.mark.parametrize(
    "fields",
    [
        {"url": "https://example.org:8443/hook?a=b"},
        {"recipient": "ada@example.org"},
        {"idempotency_key": "k", "detail": "the server's token is 3 = 3"},
    ],
)
def test_what_is_no_secret_is_written_as_it_is(fields: dict[str, Any]) -> None:
    out = started()

    structlog.get_logger().info(Event.DAEMON_READY, **fields)

    [line] = lines(out)
    assert {name: line[name] for name in fields} == fields


@pytest.mark.parametrize("fmt", ["json", "console"])
@pytest.mark.parametrize(
    "fields",
    [
        {"a": HOSTILE},
        {"a": [HOSTILE]},
        {"a": {HOSTILE: HOSTILE}},
        *({"a": character} for character in HOSTILE),
    ],
)
def test_a_value_begins_no_line_and_steers_no_terminal(fmt: str, fields: dict[str, Any]) -> None:
    out = started(fmt)

    structlog.get_logger().info(Event.DAEMON_READY, **fields)
    log.emit_many("info", Event.DAEMON_READY, [fields])

    written = out.getvalue().decode().split("\n")
    assert len(written) == 3
    assert all(line.isprintable() for line in written)


def test_json_gives_a_hostile_value_back_unchanged() -> None:
    out = started()

    structlog.get_logger().info(Event.DAEMON_READY, a=HOSTILE)

    assert lines(out)[0]["a"] == HOSTILE


def test_the_text_of_an_exception_steers_no_terminal() -> None:
    out = started("console")

    structlog.get_logger().error(Event.DAEMON_FAILED, exc_info=ValueError("\x1b[2J\u202e"))

    text = out.getvalue().decode()
    assert "ValueError" in text
    assert "library_log" not in text
    assert all(line.isprintable() for line in text.split("\n"))


def _fail(message: str) -> None:
    raise ConnectionError(message)


def test_each_of_several_dsns_is_struck_out_and_none_is_looked_for_to_the_end() -> None:
    both = f"postgres://a:{SECRET}/x@h,postgres://b:{SECRET}@g/d"

    assert redact_text(both) == "postgres://a:***@h,postgres://b:***@g/d"
    many = "@ " + "postgres://:" * 200_000
    assert redact_text(many) == many
