"""What strangers wrote reaches an operator's terminal and log as text, never as a command."""

import re
import sys
from pathlib import Path
from typing import Any

import engine
import pytest
import running
from commands import chimewayd

pytestmark = pytest.mark.anyio

TRICKS = "red\x1b[31m bell\x07 back\x08 line\nfake=1 \u202edaolyap \u2066x\u2069 \x9b2J"
BIDI = "ada\u202e\u2066@example.org"
FORBIDDEN = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


async def test_commands_print_no_control_characters(
    dsn: str, connection: engine.Connection
) -> None:
    await engine.configure(connection)
    delivery_id = await engine.insert(
        connection, recipient=BIDI, tenant_id=BIDI, notification_key=BIDI, correlation_id=BIDI
    )
    await engine.operate(connection, "pause_channel", "email", TRICKS, TRICKS)
    await engine.operate(connection, "resume_channel", "email", "me")
    (delivery,) = await engine.claim(connection)
    await engine.record(
        connection, delivery, "permanent", detail=TRICKS, response=TRICKS, status_code=400
    )
    await engine.operate(connection, "replay", delivery_id, TRICKS)
    await engine.operate(connection, "cancel", delivery_id, TRICKS, TRICKS)
    await engine.operate(connection, "pause_channel", "email", TRICKS, TRICKS)

    commands: list[tuple[str, ...]] = [
        ("explain", str(delivery_id)),
        ("status",),
        ("list",),
        ("failures",),
        ("cancel", "--dry-run", "--recipient", BIDI, "--reason", "why"),
        ("replay", str(delivery_id), "--actor", TRICKS),
        ("pause", "email", "--reason", "again"),
        ("explain", str(delivery_id), "--json"),
        ("status", "--json"),
        ("list", "--json"),
    ]
    told = {command: await chimewayd("--dsn", dsn, *command) for command in commands}

    assert {
        name: FORBIDDEN.findall(ended.stdout + ended.stderr) for name, ended in told.items()
    } == {name: [] for name in told}
    assert "red" in told[commands[0]].stdout
    assert "already paused" in told["pause", "email", "--reason", "again"].stdout
    (again,) = told["status", "--json"].document["channels"]
    assert again["pause_reason"] == TRICKS


async def test_log_lines_cannot_be_forged(
    dsn: str, connection: engine.Connection, tmp_path: Path
) -> None:
    script = tmp_path / "says.py"
    script.write_text(
        "import sys\n"
        f"sys.stderr.buffer.write({(TRICKS + ' plain').encode()!r} + b'\\xff\\xfe')\n"
        "sys.exit(65)\n",
        "utf-8",
    )
    channels: dict[str, dict[str, Any]] = {
        "says": {
            "adapter": "exec",
            "settings": {"command": [sys.executable, str(script)]},
            "retry": {"max_attempts": 1},
        },
        "log": {"adapter": "log"},
    }
    forged = '{"event": "forged", "level": "x", "a\\nb": "\\u001b[31m"}'
    async with running.running(dsn, channels) as daemon:
        await engine.insert(connection, channel="says", correlation_id=BIDI)
        await engine.insert(connection, channel="log", payload=forged)
        await daemon.said("attempt_recorded", 2)
        (logged,) = daemon.of("delivery_logged")

    assert daemon.other_output == []
    assert logged["level"] == "info"
    response = await connection.fetchval("select max(response) from chimeway.delivery_attempts")
    assert "plain" in response
    assert FORBIDDEN.findall(response) == []
