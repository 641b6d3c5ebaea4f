"""The units, read by systemd's own tools, and each of their lines by us."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from chimewayd.errors import ConfigError

DEPLOY = Path(__file__).parents[2] / "deploy"
DAEMON, MIGRATE = DEPLOY / "chimewayd.service", DEPLOY / "chimewayd-migrate.service"
UNITS = pytest.mark.parametrize("unit", [DAEMON, MIGRATE], ids=lambda unit: unit.name)
MOST_EXPOSURE = 1.5
ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(
    ANALYZE is None, reason="no systemd-analyze here: the units are NOT checked by systemd"
)


def lines(unit: Path) -> list[str]:
    return [line for line in unit.read_text("utf-8").splitlines() if re.match(r"\w+=", line)]


def values(unit: Path, name: str) -> list[str]:
    return [line.partition("=")[2] for line in lines(unit) if line.startswith(f"{name}=")]


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    assert ANALYZE is not None
    return subprocess.run(
        [ANALYZE, *arguments], capture_output=True, text=True, check=False, timeout=50
    )


def installed(unit: Path, folder: Path) -> Path:
    """Copy a unit; commands that are not installed here become one that is."""
    text = unit.read_text("utf-8").replace("/usr/bin/chimewayd", "/bin/true")
    text = re.sub(r"^Documentation=.*\n", "", text, flags=re.MULTILINE)  # man pages are looked up
    copy = folder / unit.name
    copy.write_text(text, "utf-8")
    return copy


@UNITS
def test_memory_with_secrets_in_it_is_never_dumped(unit: Path) -> None:
    assert values(unit, "LimitCORE") == ["0"]


@needs_systemd
@UNITS
def test_unit_is_verified_by_systemd_without_a_word(unit: Path, tmp_path: Path) -> None:
    verified = analyze("verify", str(installed(unit, tmp_path)))

    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")


@needs_systemd
@UNITS
def test_unit_is_exposed_no_more_than_we_say(unit: Path, tmp_path: Path) -> None:
    judged = analyze("security", "--offline=true", "--no-pager", str(installed(unit, tmp_path)))

    exposure = re.search(r"exposure level for \S+: ([\d.]+)", judged.stdout)
    assert exposure is not None, judged.stderr
    assert float(exposure[1]) <= MOST_EXPOSURE


def test_wrong_configuration_is_not_tried_again() -> None:
    assert values(DAEMON, "Restart") == ["always"]
    assert values(DAEMON, "RestartPreventExitStatus") == [str(ConfigError.exit_code)]


def test_reload_is_checked_before_it_is_asked_for() -> None:
    check, hang_up = values(DAEMON, "ExecReload")

    assert check.endswith("chimewayd config check")
    assert hang_up == "/bin/kill -HUP $MAINPID"


def test_both_units_have_the_same_sandbox() -> None:
    daemon = lines(DAEMON)
    sandbox = daemon[
        daemon.index("CapabilityBoundingSet=") : daemon.index("WantedBy=multi-user.target")
    ]

    assert len(sandbox) > 20
    assert [line for line in sandbox if line not in lines(MIGRATE)] == []


def test_each_line_of_the_daemon_s_unit_has_its_reason() -> None:
    unexplained, has_reason = [], False
    for line in DAEMON.read_text("utf-8").splitlines():
        if not line or line.startswith("["):
            has_reason = False
        elif line.startswith("#"):
            has_reason = True
        elif not has_reason:
            unexplained.append(line)

    # These say all by themselves.
    assert unexplained == [
        "Description=Notification delivery from Postgres",
        "Documentation=man:chimewayd(1)",
        "WantedBy=multi-user.target",
    ]
