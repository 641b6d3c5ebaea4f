"""A Debian that is really booted: systemd as its first process, in namespaces of its own.

Its root, and with it /tmp, /run and /var, is a folder that debootstrap filled; its network is a
loopback and nothing else. Nothing of this machine is shared but the kernel.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TOOLS = ("debootstrap", "systemd-nspawn", "nsenter")
PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "libnss-systemd", "adduser", "procps", "python3", "curl"),
    *("postgresql", "ca-certificates", "dnsmasq-base"),
)
FILL_SECONDS = 1500.0
BOOT_SECONDS = 180.0
WAIT_SECONDS = 90
RUN_SECONDS = 120.0
LEAVE_SECONDS = 60.0

JOIN_AND_BOOT = """
nspawn=$1; shift
while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs"; shift; done
shift
exec "$nspawn" "$@"
"""
"""Whoever has no systemd of its own to ask for a control group brings one along."""


class NotFilledError(Exception):
    """The packages of the system could not be had."""


def suite() -> str:
    """Return the release of this Debian: a package built here is for it."""
    known = dict(
        line.split("=", 1) for line in Path("/etc/os-release").read_text("utf-8").splitlines()
    )
    return known.get("VERSION_CODENAME", "stable").strip('"')


def fill(root: Path) -> None:
    """Install a small Debian into a folder.

    Raises:
        NotFilledError: there is no archive to be reached, or no room.
    """
    packages = f"--include={','.join(PACKAGES)}"
    command = ["debootstrap", "--variant=minbase", packages, suite(), str(root)]
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=FILL_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise NotFilledError(f"debootstrap took longer than {FILL_SECONDS:.0f} s") from error
    if ended.returncode:
        raise NotFilledError((ended.stdout + ended.stderr)[-500:])
    (root / "etc/resolv.conf").write_text("nameserver 127.0.0.1\n")


@dataclass(frozen=True, slots=True)
class Machine:
    """The booted system, seen from the outside."""

    init: int
    """Its first process, by our count."""

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a script as its root."""
        return subprocess.run(
            [
                *(
                    "nsenter",
                    f"--target={self.init}",
                    "--mount",
                    "--uts",
                    "--ipc",
                    "--net",
                    "--pid",
                ),
                *("--cgroup", "/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"),
                *("LANG=C.UTF-8", "HOME=/root", "SYSTEMD_PAGER=cat"),
                *("/bin/bash", "-uo", "pipefail", "-c", script),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=RUN_SECONDS,
        )

    def read(self, script: str) -> str:
        """Return what a script prints that must succeed."""
        ended = self.run(f"set -e\n{script}")
        assert ended.returncode == 0, f"{script}\n{ended.stdout}{ended.stderr}"
        return ended.stdout.strip()

    def wait(self, condition: str) -> None:
        """Wait until a script succeeds."""
        patience = f"[ $SECONDS -lt {WAIT_SECONDS} ]"
        self.read(f"while {patience}; do if {condition}; then exit; fi; sleep 0.1; done; exit 1")


@contextmanager
def booted(root: Path) -> Iterator[Machine]:
    """Boot the system in a folder; it is shut down when the context is left."""
    groups = [] if Path("/run/systemd/system").exists() else _control_groups()
    for group in groups:
        group.mkdir()
    nspawn = shutil.which("systemd-nspawn")
    assert nspawn is not None
    options = ["--boot", "--register=no", "--private-network", "--console=pipe"]
    options += ["--link-journal=no", "--resolv-conf=off", "--timezone=off"]
    if groups:
        options.append("--keep-unit")
    console = root.with_name("console")
    with console.open("wb") as said:
        process = subprocess.Popen(
            [
                *("/bin/sh", "-euc", JOIN_AND_BOOT, "boot", nspawn, *map(str, groups), "--"),
                *(f"--directory={root}", f"--machine=chimewayd-{os.getpid()}", *options),
            ],
            env={"PATH": os.environ["PATH"], "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
    try:
        yield _up(process, console)
    finally:
        process.send_signal(signal.SIGTERM)  # it shuts down, as if the button was pressed
        try:
            process.wait(LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for group in groups:
            for folder, _, _ in os.walk(group, topdown=False):
                Path(folder).rmdir()


def _control_groups() -> list[Path]:
    """Return a group of our own in each hierarchy that counts processes and limits nothing."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text("utf-8").splitlines()]
    return [
        Path(place) / f"chimewayd-{os.getpid()}"
        for _, place, kind, options, *_ in mounts
        if kind == "cgroup2" or "name=systemd" in options.split(",")
    ]


def _up(process: subprocess.Popen[bytes], console: Path) -> Machine:
    """Wait until all is started that starts with the system."""
    until = time.monotonic() + BOOT_SECONDS
    state = ""
    while time.monotonic() < until and process.poll() is None:
        init = _first_process(process.pid)
        if init is not None:
            machine = Machine(init)
            state = machine.run("systemctl is-system-running").stdout.strip()
            if state in {"running", "degraded"}:
                return machine
        time.sleep(0.2)
    said = console.read_text("utf-8", "replace")[-2000:]
    raise AssertionError(f"the system is not up, but {state!r}: {said}")


def _first_process(parent: int) -> int | None:
    """Return the child that is systemd and the first in a namespace: never this machine's own."""
    try:
        for child in Path(f"/proc/{parent}/task/{parent}/children").read_text("utf-8").split():
            status = Path(f"/proc/{child}/status").read_text("utf-8")
            if "Name:\tsystemd\n" in status and re.search(r"^NSpid:.*\t1$", status, re.MULTILINE):
                return int(child)
    except FileNotFoundError:
        pass
    return None
