"""What holds for every command: help, exit statuses, one line for an error and no traceback."""

import os
import signal
from functools import partial
from pathlib import Path

import anyio
import engine
import pytest
from commands import COMMAND, DEADLINE_SECONDS, chimewayd, clean_environment
from running import eventually

from chimewayd import __version__, cli

pytestmark = pytest.mark.anyio

NOWHERE = "postgresql://127.0.0.1:1/nowhere"
SOME_ID = "0199c2a4-7e11-7abc-9def-0123456789ab"
WAITS_FOR_A_LOCK = "select exists (select from pg_locks where not granted)"
ON_A_DATABASE = [
    ["migrate"],
    ["migrate", "--check"],
    ["send", "log", "me", "--payload", "{}"],
    ["explain", SOME_ID],
    ["status"],
    ["status", "--watch"],
    ["list"],
    ["failures"],
    ["tail"],
    ["cancel", SOME_ID, "--reason", "no longer wanted"],
    ["resume", "log"],
]


async def test_help_names_each_command_and_each_exit_status() -> None:
    ended = await chimewayd("--help")

    assert ended.exit_code == 0
    assert [name for name in cli.chimewayd.commands if f"\n  {name} " not in ended.stdout] == []
    for exit_code in (0, 1, 2, 3, 69, 75, 78):
        assert f"\n    {exit_code:<2}  " in ended.stdout


@pytest.mark.parametrize("name", cli.chimewayd.commands)
async def test_help_of_a_command_imports_neither_the_database_client_nor_the_settings(
    name: str,
) -> None:
    ended = await chimewayd(name, "--help", environment={"PYTHONPROFILEIMPORTTIME": "1"})

    imported = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines()}
    assert ended.exit_code == 0
    assert "click" in imported
    assert imported & {"asyncpg", "pydantic", "aiohttp", "uvloop"} == set()


async def test_version_is_printed() -> None:
    ended = await chimewayd("--version")

    assert (ended.exit_code, ended.stdout) == (0, f"chimewayd {__version__}\n")


@pytest.mark.parametrize("arguments", ON_A_DATABASE, ids=" ".join)
async def test_a_database_that_does_not_answer_is_69(arguments: list[str]) -> None:
    ended = await chimewayd("--dsn", NOWHERE, *arguments)

    assert ended.exit_code == 69
    assert ended.stdout == ""
    assert ended.stderr.startswith("chimewayd: cannot connect to 127.0.0.1:1/nowhere: ")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [["status"], ["run"], ["migrate"]], ids=" ".join)
async def test_a_misspelt_setting_is_78_and_is_named_with_its_source(arguments: list[str]) -> None:
    ended = await chimewayd(*arguments, environment={"CHIMEWAYD_CONCURENCY": "3"})

    assert ended.exit_code == 78
    assert "concurency / CHIMEWAYD_CONCURENCY" in ended.stderr
    assert "environment variable CHIMEWAYD_CONCURENCY" in ended.stderr
    assert "did you mean concurrency" in ended.stderr


async def test_each_of_several_wrong_settings_has_its_line() -> None:
    ended = await chimewayd(
        "status", environment={"CHIMEWAYD_LEASE": "x", "CHIMEWAYD_CONCURRENCY": "0"}
    )

    assert ended.exit_code == 78
    assert [line.split(" ")[:2] for line in ended.stderr.splitlines()] == [
        ["chimewayd:", "concurrency"],
        ["chimewayd:", "lease"],
    ]


@pytest.mark.parametrize("arguments", [["nonsense"], ["send", "log"], ["status", "--nonsense"]])
async def test_wrong_usage_is_2_and_says_where_help_is(arguments: list[str]) -> None:
    ended = await chimewayd(*arguments)

    assert ended.exit_code == 2
    assert "--help" in ended.stderr


@pytest.mark.parametrize("arguments", ON_A_DATABASE[2:9], ids=" ".join)
async def test_a_database_without_the_schema_is_75_and_says_to_migrate(
    arguments: list[str], empty_dsn: str
) -> None:
    ended = await chimewayd("--dsn", empty_dsn, *arguments)

    assert ended.exit_code == 75
    assert ended.stderr.splitlines()[1:] == ["hint: prepare the database with: chimewayd migrate"]


async def test_the_dsn_is_understood_before_and_after_the_command(dsn: str) -> None:
    before = await chimewayd("--dsn", dsn, "status", "--json")
    after = await chimewayd("status", "--json", "--dsn", dsn)

    assert before.exit_code == after.exit_code == 0


async def test_the_configuration_file_is_read(dsn: str, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f"dsn = '{dsn}'\n")

    ended = await chimewayd("--config", str(file), "status")

    assert ended.exit_code == 0


@pytest.mark.parametrize("arguments", [["status", "--json"], ["migrate", "--sql"]], ids=" ".join)
async def test_a_reader_that_goes_away_ends_a_command_without_a_traceback(
    arguments: list[str], dsn: str
) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)

    ended = await anyio.run_process(
        [str(COMMAND), "--dsn", dsn, *arguments],
        stdout=write_end,
        check=False,
        env=clean_environment(),
    )
    os.close(write_end)

    assert (ended.returncode, ended.stderr) == (128 + signal.SIGPIPE, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the full device is Linux's")
async def test_output_that_cannot_be_written_is_1(dsn: str) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    ended = await anyio.run_process(
        [str(COMMAND), "--dsn", dsn, "status"],
        stdout=full,
        check=False,
        env=clean_environment(),
    )
    os.close(full)

    assert ended.returncode == 1
    assert ended.stderr == b"chimewayd: cannot write the output: No space left on device\n"


async def test_ctrl_c_is_130_without_a_traceback(dsn: str, connection: engine.Connection) -> None:
    async with connection.transaction():
        await connection.execute("lock table chimeway.deliveries in access exclusive mode")
        async with await anyio.open_process(
            [str(COMMAND), "--dsn", dsn, "send", "log", "me", "--payload", "{}"],
            env=clean_environment(),
        ) as process:
            waiting = partial(connection.fetchval, WAITS_FOR_A_LOCK)
            await eventually(waiting, wanted=True)
            process.send_signal(signal.SIGINT)
            with anyio.fail_after(DEADLINE_SECONDS):
                exit_code = await process.wait()
            assert process.stderr is not None
            said = b"".join([chunk async for chunk in process.stderr])

    assert exit_code == 130
    assert b"Traceback" not in said
