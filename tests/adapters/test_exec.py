"""The exec adapter against real commands."""

import asyncio
import json
import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias

import anyio
import pytest
from lifeline import Lifeline

from chimewayd.adapters import make
from chimewayd.adapters.evidence import EXCERPT_LIMIT_BYTES
from chimewayd.errors import ConfigError
from chimewayd.models import (
    Bounced,
    Delivery,
    Misconfigured,
    Outcome,
    Succeeded,
    Temporary,
    TimedOut,
)

pytestmark = pytest.mark.anyio

LONG = timedelta(seconds=20)
SHORT = timedelta(milliseconds=300)

Script: TypeAlias = Callable[[str], str]


async def run(
    delivery: Delivery, command: str, within: timedelta = LONG, **settings: object
) -> Outcome:
    async with make("exec", "exec", {"command": [command], **settings}, within) as adapter:
        return await adapter.deliver(delivery)


async def test_command_reads_the_delivery_as_one_json_document(
    delivery: Delivery, script: Script, tmp_path: Path
) -> None:
    delivery = delivery._replace(
        payload_json='{"n": 123456789012345678901234567890}', metadata_json='{"a": 1}'
    )

    outcome = await run(delivery, script('cat > "$OUT"'), environment={"OUT": f"{tmp_path}/out"})

    assert isinstance(outcome, Succeeded)
    assert json.loads((tmp_path / "out").read_text()) == {
        "delivery_id": str(delivery.delivery_id),
        "channel": "hooks",
        "recipient": "ada",
        "payload": {"n": 123456789012345678901234567890},
        "attempt_number": 1,
        "tenant_id": None,
        "notification_key": None,
        "correlation_id": None,
        "idempotency_key": None,
        "metadata": {"a": 1},
    }


async def test_command_may_open_dev_stdin(
    delivery: Delivery, script: Script, tmp_path: Path
) -> None:
    command = script('cat /dev/stdin > "$OUT"')

    outcome = await run(delivery, command, environment={"OUT": f"{tmp_path}/out"})

    assert isinstance(outcome, Succeeded)
    assert json.loads((tmp_path / "out").read_text())["recipient"] == "ada"


async def test_command_may_leave_a_large_document_unread(
    delivery: Delivery, script: Script
) -> None:
    payload = json.dumps({"text": "x" * 1_000_000})

    outcome = await run(delivery._replace(payload_json=payload), script("exit 0"))

    assert isinstance(outcome, Succeeded)


async def test_words_of_the_command_are_passed_without_a_shell(
    delivery: Delivery, script: Script
) -> None:
    settings = {"command": [script('[ "$1" = "a b; \\$HOME *" ]'), "a b; $HOME *"]}

    async with make("exec", "exec", settings, LONG) as adapter:
        outcome = await adapter.deliver(delivery)

    assert isinstance(outcome, Succeeded)


async def test_command_sees_the_named_environment_and_nothing_else(
    delivery: Delivery, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "t0ps3cret")
    monkeypatch.setenv("WANTED", "1")
    own = {"OUT": str(tmp_path / "out")}

    await run(
        delivery, script('/usr/bin/env > "$OUT"'), environment=own, inherit=["WANTED", "UNSET"]
    )

    seen = dict(line.split("=", 1) for line in (tmp_path / "out").read_text().splitlines())
    # A shell sets some variables of its own.
    assert {name: seen[name] for name in seen.keys() - {"PWD", "SHLVL", "_", "OLDPWD"}} == {
        "OUT": str(tmp_path / "out"),
        "WANTED": "1",
    }


async def test_exit_status_and_error_output_become_evidence(
    delivery: Delivery, script: Script
) -> None:
    outcome = await run(delivery, script("echo 'mailbox is\nfull' >&2; exit 67"))

    assert outcome == Bounced(
        detail="the command ended with exit status 67", status_code=67, response="mailbox is full"
    )


async def test_unlisted_exit_status_is_temporary_and_said_so(
    delivery: Delivery, script: Script
) -> None:
    outcome = await run(delivery, script("exit 42"))

    assert isinstance(outcome, Temporary)
    assert outcome.status_code == 42
    assert outcome.detail is not None
    assert "exit status 42, which sysexits.h does not list" in outcome.detail


async def test_command_killed_by_a_signal_is_temporary(delivery: Delivery, script: Script) -> None:
    outcome = await run(delivery, script("kill -TERM $$"))

    assert isinstance(outcome, Temporary)
    assert outcome.status_code == 128 + 15
    assert outcome.detail == "the command was killed by SIGTERM"


async def test_answer_is_the_last_line_of_the_output(delivery: Delivery, script: Script) -> None:
    answer = '{"provider_message_id": "abc-1", "detail": "queued"}'

    outcome = await run(delivery, script(f"echo '{{\"detail\": 1}}'; echo '{answer}'; echo"))

    assert outcome == Succeeded(detail="queued", status_code=0, provider_message_id="abc-1")


async def test_retry_after_of_the_answer_is_taken(delivery: Delivery, script: Script) -> None:
    outcome = await run(delivery, script("echo '{\"retry_after\": 1.5}'; exit 75"))

    assert isinstance(outcome, Temporary)
    assert outcome.retry_after == timedelta(seconds=1.5)


async def test_endless_output_is_bounded_and_the_answer_still_read(
    delivery: Delivery, script: Script
) -> None:
    flood = "head -c 3000000 /dev/zero | tr '\\0' x"
    command = script(f'{flood}; {flood} >&2; echo; echo \'{{"provider_message_id": "m"}}\'')

    outcome = await run(delivery, command)

    assert isinstance(outcome, Succeeded)
    assert outcome.provider_message_id == "m"
    assert outcome.response == "x" * EXCERPT_LIMIT_BYTES


async def test_deadline_kills_the_whole_process_group(
    delivery: Delivery, script: Script, lifeline: Lifeline
) -> None:
    command = script(f"exec 9>{lifeline.path}; echo so far >&2; sleep 600 & sleep 600")

    outcome = await run(delivery, command, within=SHORT)

    assert isinstance(outcome, TimedOut)
    assert outcome.request_sent
    assert outcome.response == "so far"
    assert await lifeline.end() == ""


async def test_cancelled_command_dies_with_its_children_and_is_reaped(
    delivery: Delivery, script: Script, lifeline: Lifeline
) -> None:
    command = script(f"exec 9>{lifeline.path}; sleep 600 & echo $$ >&9; sleep 600")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, delivery, command)
        process = int(await lifeline.line())
        tasks.cancel_scope.cancel()

    assert await lifeline.end() == ""
    with pytest.raises(ChildProcessError):
        os.waitpid(process, os.WNOHANG)  # noqa: ASYNC222 - with WNOHANG it does not wait


async def test_command_cancelled_at_any_moment_dies_with_its_children(
    delivery: Delivery, script: Script, lifeline: Lifeline
) -> None:
    command = script(f"exec 9>{lifeline.path}; sleep 600 & sleep 600")

    for moments in range(30):
        # As the daemon cuts a call: no cancel scope stands between.
        running = asyncio.create_task(run(delivery, command))
        for _ in range(moments):
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running])

    assert await lifeline.end() == ""


async def test_child_left_running_by_the_command_dies_with_it(
    delivery: Delivery, script: Script, lifeline: Lifeline
) -> None:
    outcome = await run(delivery, script(f"exec 9>{lifeline.path}; sleep 600 & exit 0"))

    assert isinstance(outcome, Succeeded)
    assert await lifeline.end() == ""


async def test_child_that_escaped_with_the_output_does_not_hold_the_attempt(
    delivery: Delivery, script: Script, lifeline: Lifeline
) -> None:
    gate = lifeline.path.with_name("gate")
    os.mkfifo(gate)
    escape = f"setsid sh -c 'echo $$ > {gate}; exec sleep 20' & read -r escaped < {gate}"
    command = script(f"{escape}; echo $escaped > {lifeline.path}; exit 75")

    with anyio.fail_after(10):
        outcome = await run(delivery, command)

    escaped = int(await lifeline.line())
    os.kill(escaped, 9)
    assert isinstance(outcome, Temporary)
    assert outcome.status_code == 75


async def test_command_removed_since_the_start_is_our_own_fault(
    delivery: Delivery, script: Script
) -> None:
    command = script("exit 0")
    adapter = make("exec", "exec", {"command": [command]}, LONG)
    os.unlink(command)  # noqa: PTH108 - in a coroutine, ruff refuses the other spelling too

    async with adapter:
        outcome = await adapter.deliver(delivery)

    assert isinstance(outcome, Misconfigured)
    assert outcome.detail == "the command could not be started: No such file or directory"


async def test_command_that_is_no_program_is_our_own_fault(
    delivery: Delivery, tmp_path: Path
) -> None:
    program = tmp_path / "program"
    program.write_text("not a program")
    program.chmod(0o755)

    outcome = await run(delivery, str(program))

    assert isinstance(outcome, Misconfigured)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({}, "command"),
        ({"command": []}, "command"),
        ({"command": "/bin/sh"}, "command"),
        ({"command": ["sh", "c4nary"]}, "command"),
        ({"command": ["./sh"]}, "command"),
        ({"command": ["/c4nary/sh"]}, "command"),
        ({"command": ["/etc"]}, "command"),
        ({"command": ["/etc/passwd"]}, "command"),
        ({"command": ["/bin/sh", "c4nary\0"]}, "command"),
        ({"command": ["/bin/sh", {"c4nary": 1}]}, "command.1"),
        ({"command": ["/bin/sh"], "environment": {"A=B": "c4nary"}}, "environment"),
        ({"command": ["/bin/sh"], "environment": {"": "c4nary"}}, "environment"),
        ({"command": ["/bin/sh"], "environment": {"A": "c4nary\0"}}, "environment"),
        ({"command": ["/bin/sh"], "inherit": "PATH"}, "inherit"),
    ],
)
def test_wrong_setting_is_named_without_its_value(
    settings: Mapping[str, object], named: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        make("exec", "exec", settings, LONG)

    assert caught.value.setting == f"channels.exec.settings.{named}"
    assert caught.value.allowed
    assert "c4nary" not in str(caught.value)
