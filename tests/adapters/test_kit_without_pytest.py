"""The kit is part of the package, pytest is not: who has none is told so."""

import subprocess
import sys

WITHOUT = (
    "import sys; sys.modules['pytest'] = None; import chimewayd.daemon; import chimewayd.testing"
)


def test_kit_without_pytest_says_what_is_missing_and_the_daemon_does_not_need_it() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, timeout=50, check=False
    )

    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == (
        "ModuleNotFoundError: chimewayd.testing needs pytest, which is not installed: "
        "pip install pytest"
    )
