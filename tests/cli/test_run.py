"""`chimewayd run`, as far as it is the command line's: what stops it before it starts."""

import json
import subprocess

import anyio
import pytest
from anyio.abc import ByteReceiveStream
from commands import COMMAND, DEADLINE_SECONDS, chimewayd, clean_environment

pytestmark = pytest.mark.anyio

SINK = {"CHIMEWAYD_CHANNELS__BIN__ADAPTER": "sink"}


async def test_without_a_channel_run_is_78_and_says_how_to_configure_one() -> None:
    ended = await chimewayd("run")

    assert ended.exit_code == 78
    assert "[channels.hooks]" in ended.stderr
    assert "CHIMEWAYD_CHANNELS__HOOKS__ADAPTER=webhook" in ended.stderr
    assert ended.stderr.count("\n") == 1


async def test_an_unknown_adapter_is_78() -> None:
    ended = await chimewayd("run", environment={"CHIMEWAYD_CHANNELS__BIN__ADAPTER": "sinc"})

    assert ended.exit_code == 78
    assert "channels.bin.adapter" in ended.stderr
    assert "did you mean 'sink'" in ended.stderr


async def test_a_wrong_setting_of_an_adapter_is_78_and_is_named(dsn: str) -> None:
    wrong = {"CHIMEWAYD_CHANNELS__BIN__SETTINGS": json.dumps({"colour": "blue"})}

    ended = await chimewayd("--dsn", dsn, "run", environment=SINK | wrong)

    assert ended.exit_code == 78
    assert "channels.bin.settings.colour" in ended.stderr


async def test_a_database_that_does_not_answer_is_69() -> None:
    ended = await chimewayd("--dsn", "postgresql://127.0.0.1:1/nowhere", "run", environment=SINK)

    assert ended.exit_code == 69
    assert ended.stderr.startswith("chimewayd: cannot connect to 127.0.0.1:1/nowhere: ")


async def test_a_database_that_was_not_migrated_is_75_and_says_what_helps(empty_dsn: str) -> None:
    ended = await chimewayd("--dsn", empty_dsn, "run", environment=SINK)

    assert ended.exit_code == 75
    assert "run `chimewayd migrate`" in ended.stderr


async def test_run_migrate_prepares_an_empty_database_first(empty_dsn: str) -> None:
    async with await anyio.open_process(
        [str(COMMAND), "--dsn", empty_dsn, "run", "--migrate"],
        env=clean_environment() | SINK,
        stderr=None,
    ) as process:
        assert process.stdout is not None
        said = await _until(process.stdout, b"daemon_ready")
        sent = await chimewayd("--dsn", empty_dsn, "send", "bin", "me", "--payload", "{}")
        said += await _until(process.stdout, sent.stdout.strip().encode())
        process.terminate()
        said += await _until(process.stdout, b"daemon_stopped")
        exit_code = await process.wait()

    events = [json.loads(line)["event"] for line in said.splitlines()]
    assert exit_code == 0
    assert events[0] == "migration_applied"
    assert "attempt_recorded" in events


async def test_run_migrate_of_several_processes_migrates_once(empty_dsn: str) -> None:
    async with await anyio.open_process(
        [str(COMMAND), "--dsn", empty_dsn, "run", "--migrate", "--processes", "2"],
        env=clean_environment() | SINK,
        stderr=None,
    ) as process:
        assert process.stdout is not None
        said = b""
        while said.count(b"daemon_ready") < 2:
            said += await _until(process.stdout, b"\n")
        process.terminate()
        with anyio.fail_after(DEADLINE_SECONDS):
            said += b"".join([chunk async for chunk in process.stdout])
        exit_code = await process.wait()

    lines = [json.loads(line) for line in said.splitlines()]
    migrations = [line["migration"] for line in lines if line["event"] == "migration_applied"]
    assert exit_code == 0
    assert lines[0]["event"] == "migration_applied"
    assert len(migrations) == len(set(migrations))


async def test_wrong_setting_of_an_adapter_ends_several_processes_with_78(dsn: str) -> None:
    wrong = {"CHIMEWAYD_CHANNELS__BIN__SETTINGS": json.dumps({"colour": "blue"})}

    ended = await chimewayd("--dsn", dsn, "run", "--processes", "2", environment=SINK | wrong)

    assert ended.exit_code == 78
    assert 1 <= ended.stderr.count("channels.bin.settings.colour") <= 2
    assert "another one starts" not in ended.stderr


async def test_several_processes_wait_for_the_schema_and_come_up_once_it_is_migrated(
    empty_dsn: str,
) -> None:
    async with await anyio.open_process(
        [str(COMMAND), "--dsn", empty_dsn, "run", "--processes", "2"],
        env=clean_environment() | SINK,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdout is not None
        said = await _until(process.stdout, b"another one starts")
        migrated = await chimewayd("--dsn", empty_dsn, "migrate")
        while said.count(b"daemon_ready") < 2:
            said += await _until(process.stdout, b"\n")
        process.terminate()
        with anyio.fail_after(DEADLINE_SECONDS):
            said += b"".join([chunk async for chunk in process.stdout])
        exit_code = await process.wait()

    assert b"run `chimewayd migrate`" in said
    assert (migrated.exit_code, exit_code) == (0, 0)


async def test_name_that_leaves_no_room_for_a_number_is_78_and_says_how_long_it_may_be() -> None:
    named = {"CHIMEWAYD_NAME": "n" * 62}

    ended = await chimewayd("run", "--processes", "10", environment=SINK | named)

    assert ended.exit_code == 78
    assert ended.stderr.startswith("chimewayd: name: ")
    assert "at most 60 characters" in ended.stderr


@pytest.mark.parametrize("count", ["0", "65", "two"])
async def test_number_of_processes_out_of_range_is_wrong_usage(count: str) -> None:
    ended = await chimewayd("run", "--processes", count, environment=SINK)

    assert ended.exit_code == 2
    assert "--processes" in ended.stderr


async def test_help_says_that_limits_are_each_process_s_own() -> None:
    ended = await chimewayd("run", "--help")

    assert "each process's own" in " ".join(ended.stdout.split())
    assert "--member" not in ended.stdout


async def _until(stream: ByteReceiveStream, text: bytes) -> bytes:
    said = b""
    with anyio.fail_after(DEADLINE_SECONDS):
        while text not in said or not said.endswith(b"\n"):
            said += await stream.receive()
    return said


async def test_number_of_processes_may_come_from_the_environment(empty_dsn: str) -> None:
    several = {"CHIMEWAYD_PROCESSES": "2", "CHIMEWAYD_NAME": "n" * 62}

    ended = await chimewayd("--dsn", empty_dsn, "run", environment=SINK | several)

    assert ended.exit_code == 78
    assert "--processes 2" in ended.stderr
