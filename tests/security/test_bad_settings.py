"""Bad settings and bad commands: one line that names what is wrong, and no secret in it.

Each case keeps its number: 128 settings, 129 commands, 130 answers of the database.
"""

from pathlib import Path

import engine
import pytest
import running
from commands import Ended, chimewayd
from hypothesis import given, settings
from hypothesis import strategies as some

from chimewayd import config, dsn
from chimewayd.errors import ConfigError, ConfigErrors

pytestmark = pytest.mark.anyio

SECRET = "s3cr3t-canary"
SOME_ID = "01a202e3-f297-7352-ac3f-4b42c821f228"

FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "duplicate key": (b"concurrency = 1\nconcurrency = 2\n", "line 2"),
    "utf-16": (f'dsn = "{SECRET}"'.encode("utf-16"), "UTF-8"),
    "no toml": (f"dsn = {SECRET}\n".encode(), "line 1"),
    "unclosed": (f'dsn = "{SECRET}\n'.encode(), "line 1"),
    "unknown key": (b"concurency = 1\n", "did you mean"),
    "unknown nested key": (b'[channels.a]\nadaptor = "log"\n', "adaptor"),
    "wrong type": (b'concurrency = "many"\n', "concurrency"),
    "a table for a number": (b"[concurrency]\na = 1\n", "concurrency"),
    "zero": (b"concurrency = 0\n", "concurrency"),
    "negative": (b"concurrency = -1\n", "concurrency"),
    "huge": (b"concurrency = 1000000000\n", "concurrency"),
    "half": (b"concurrency = 1.5\n", "concurrency"),
    "yes": (b"concurrency = true\n", "concurrency"),
    "nan": (b'[channels.a]\nadapter = "log"\n[channels.a.retry]\nfactor = nan\n', "factor"),
    "infinite": (b'[channels.a]\nadapter = "log"\n[channels.a.retry]\nfactor = 1e309\n', "factor"),
    "negative interval": (b'lease = "-5s"\n', "lease"),
    "zero interval": (b'poll_interval = "0s"\n', "poll_interval"),
    "no unit": (b"lease = 60\n", "lease"),
    "lease below a call": (
        b'lease = "10s"\n[channels.a]\nadapter = "log"\ntimeout = "10s"\n',
        "timeout",
    ),
    "channel of another alphabet": (
        '[channels."w\u0435b"]\nadapter = "log"\n'.encode(),
        "channels",
    ),
    "channel with a line": (b'[channels."a\\nb"]\nadapter = "log"\n', "channels"),
    "no adapter": (b"[channels.a]\n", "adapter"),
    "channels no table": (b'channels = "a"\n', "channels"),
}


@pytest.mark.parametrize(("content", "told"), FILES.values(), ids=[*FILES])
def test_bad_file_stops_with_its_name_and_reason_128(
    tmp_path: Path, content: bytes, told: str
) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(content)

    with pytest.raises((ConfigError, ConfigErrors)) as refused:
        config.load(file, environment={})

    assert told in str(refused.value)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("content", [b"# nothing\r\n", b'\r\nlease = "1m"\r\n'])
def test_odd_file_that_is_right_is_read_128(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(content)

    assert config.load(file, environment={}).concurrency == 100


DSNS = [
    f"postgresql://u:{SECRET}@h:port/d",
    f"postgresql://u:{SECRET}@h:99999/d",
    f"postgresql://u:{SECRET}#x@h/d",
    f"postgresql://u:{SECRET}/x@h/d",
    f"postgresql://u:{SECRET}@x@h/d",
    f"postgresql://u:{SECRET}%@h/d",
    f"postgresql://u:{SECRET}%zz@h/d",
    f"postgresql://u:{SECRET}%00@h/d",
    f"postgresql://u@h/d?password={SECRET}%",
    f"postgresql://u:{SECRET}@h/d\nx",
    f"postgresql://u:{SECRET}@h/d?connect_timeout=soon",
    f"postgresql://u:{SECRET}@h/d?hostaddr=1.2.3.4",
    f"mysql://u:{SECRET}@h/d",
    f"host=h password={SECRET}",
    f"postgresql://u:{SECRET}@h/d?=&&",
]


@pytest.mark.parametrize("url", DSNS)
def test_bad_dsn_is_refused_without_its_password_128(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        dsn.parse(url, {})

    assert SECRET not in str(refused.value)
    assert SECRET not in dsn.describe(url)


@pytest.mark.parametrize(
    "parameter", ["sslmode=verifyfull", "sslmode=", "sslrootcert=/nowhere.pem"]
)
async def test_misspelt_tls_stops_and_never_connects_without_128(parameter: str) -> None:
    url = f"postgresql://u:{SECRET}@127.0.0.1:1/d?sslmode=verify-full&{parameter}"

    ended = await chimewayd("--dsn", url, "status")

    assert ended.exit_code in {69, 78}
    assert_told_in_words(ended)


@settings(deadline=None, max_examples=200)
@given(some.text(max_size=60), some.text(max_size=20))
def test_any_dsn_is_a_target_or_refused(password: str, rest: str) -> None:
    url = f"postgresql://u:{password}@h/{rest}"

    try:
        target = dsn.parse(url, {})
    except ConfigError as error:
        refusal = str(error)
    else:
        refusal = repr(target)

    assert len(password) < 8 or password not in refusal
    assert dsn.describe(url)


def assert_told_in_words(ended: Ended) -> None:
    assert "Traceback" not in ended.stderr
    assert SECRET not in ended.stdout + ended.stderr
    assert ended.stderr.strip()


COMMANDS: list[tuple[tuple[str, ...], int]] = [
    (("cansel", SOME_ID), 2),
    (("list", "--limit", "-1"), 2),
    (("list", "--limit", "1e3"), 2),
    (("explain", "0"), 2),
    (("explain", "--", "-5"), 2),
    (("explain", str(2**63)), 2),
    (("explain", "abc"), 2),
    (("explain", "'; drop table chimeway.deliveries; --"), 2),
    (("explain", SOME_ID), 3),
    (("cancel", SOME_ID, "--reason", "why"), 3),
    (("cancel", SOME_ID, "--reason", ""), 2),
    (("pause", "no such channel", "--reason", "why"), 3),
    (("send", "Bad Channel", "ada", "--payload", "{}"), 1),
    (("send", "email", "a\r\nb", "--payload", "{}"), 1),
    (("send", "email", "ada", "--payload", "{"), 2),
    (("send", "email", "ada", "--payload", '{"a": NaN}'), 2),
]


@pytest.mark.parametrize(("command", "exit_code"), COMMANDS)
async def test_bad_command_is_told_in_words_129(
    dsn: str, command: tuple[str, ...], exit_code: int
) -> None:
    ended = await chimewayd("--dsn", dsn, *command)

    assert ended.exit_code == exit_code, ended.stderr
    assert_told_in_words(ended)


async def test_terminal_of_another_language_and_no_width_gets_its_text_129(
    dsn: str, connection: engine.Connection
) -> None:
    await engine.configure(connection)
    delivery_id = await engine.insert(connection, recipient="ä\u2603@example.org")

    for environment in ({"LANG": "C", "LC_ALL": "C"}, {"COLUMNS": "40"}, {"COLUMNS": "x"}):
        for command in (("explain", str(delivery_id)), ("list",), ("status",)):
            ended = await chimewayd("--dsn", dsn, *command, environment=environment)
            assert (ended.exit_code, ended.stderr) == (0, "")


@pytest.mark.parametrize(
    "change",
    [
        "drop function chimeway.next_due",
        "alter function chimeway.claim rename to claimed",
        "alter table chimeway.channels rename column paused_at to halted_at",
        "alter table chimeway.jobs rename to tasks",
    ],
)
async def test_database_that_answers_otherwise_is_one_error_and_an_end_130(
    dsn: str, connection: engine.Connection, change: str
) -> None:
    async with running.running(dsn, {"bin": {"adapter": "sink"}}) as daemon:
        await connection.execute(change)
        await connection.execute("select pg_notify('chimeway_jobs', '')")
        ended = await daemon.ended()

    assert ended.exit_code == 1
    assert ended.events().count("daemon_failed") == 1
    assert not any("Traceback" in line for line in daemon.other_output)


async def test_notification_of_a_stranger_is_a_ring_and_no_more_130(
    dsn: str, connection: engine.Connection
) -> None:
    async with running.running(dsn, {"bin": {"adapter": "sink"}}) as daemon:
        for payload in ("x" * 7999, "\x1b[31m", "{", "\u202e", "1\n2"):
            for channel in ("chimeway_jobs", "chimeway_probe"):
                await connection.execute("select pg_notify($1, $2)", channel, payload)
        await engine.insert(connection, channel="bin")
        await daemon.said("attempt_recorded", outcome="succeeded")
        stopped = await daemon.stop()

    assert stopped.exit_code == 0
    assert {"daemon_failed", "listener_lost", "library_log"}.isdisjoint(stopped.events())
    assert daemon.other_output == []
