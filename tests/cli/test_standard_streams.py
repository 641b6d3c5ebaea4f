"""Standard streams that are closed, or full: the exit status is that of the command."""

import subprocess

import pytest
from commands import COMMAND, DEADLINE_SECONDS, clean_environment

NOWHERE = "postgresql://127.0.0.1:1/nowhere"
SINK = {"CHIMEWAYD_CHANNELS__BIN__ADAPTER": "sink"}


@pytest.mark.parametrize("streams", [">&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full"])
@pytest.mark.parametrize(
    ("arguments", "exit_code"),
    [
        (["--version"], 0),
        (["config", "schema"], 0),
        (["cancel"], 2),
        (["--dsn", NOWHERE, "status"], 69),
        (["--dsn", NOWHERE, "run"], 69),
        (["--dsn", NOWHERE, "send", "bin", "me", "-"], 2),
    ],
    ids=lambda value: value if isinstance(value, int) else " ".join(value[-2:]),
)
def test_exit_status_is_right_whatever_the_standard_streams_are(
    arguments: list[str], exit_code: int, streams: str
) -> None:
    ended = subprocess.run(
        ["/bin/sh", "-c", f'exec "$0" "$@" {streams}', str(COMMAND), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=clean_environment() | SINK,
        timeout=DEADLINE_SECONDS,
        check=False,
    )

    assert ended.returncode == exit_code, ended.stderr.decode()
    assert b"Traceback" not in ended.stderr
