"""The Debian package, installed into a throw-away copy of this very system, and started from there.

The copy is an overlay over `/` in a mount namespace of its own: dpkg, adduser and the daemon see a
whole Debian, and nothing of what they do is left.
"""

import os
import shutil
import subprocess
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
DEBIAN = Path("/etc/debian_version")

if os.geteuid() != 0 or not DEBIAN.exists() or shutil.which("unshare") is None:
    pytest.skip(
        "the package is NOT built: this takes root on a Debian with unshare",
        allow_module_level=True,
    )

IN_A_COPY = """
set -e
mount -t tmpfs none "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay none -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
mkdir -p "$1/root/package" "$1/root$3"
mount --bind "$2" "$1/root/package"
mount --bind "$3" "$1/root$3"
mount -t proc none "$1/root/proc"
mount --bind /dev "$1/root/dev"
exec chroot "$1/root" /bin/bash -euo pipefail -c "$4" copy "$5"
"""


def in_a_copy(package: Path, folder: Path, script: str, dsn: str = "") -> str:
    """Run a script as root in a copy of this system; the package lies in /package."""
    # Sockets are not found through an overlay; their folder is looked at as it is.
    sockets = Path(parse_qs(urlsplit(dsn).query).get("host", ["/dev/shm"])[0])
    mode = sockets.stat().st_mode
    sockets.chmod(mode | 0o011)  # the package's user is no friend of ours
    place = folder / "copy"
    place.mkdir()
    command = ("unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", IN_A_COPY, "sh")
    try:
        ended = subprocess.run(
            [*command, place, package.parent, sockets, script, dsn],
            capture_output=True,
            timeout=240,
            text=True,
            check=False,
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
        )
    finally:
        sockets.chmod(mode)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_package_holds_command_units_settings_and_documents(package: Path) -> None:
    listed = subprocess.run(
        ["dpkg-deb", "--contents", package], capture_output=True, text=True, check=True
    ).stdout

    for path in (
        *("/usr/bin/chimewayd", "/usr/lib/systemd/system/chimewayd.service"),
        *("/usr/lib/systemd/system/chimewayd-migrate.service", "/etc/chimewayd/config.toml"),
        *("/usr/share/doc/chimewayd/copyright", "/usr/share/doc/chimewayd/README.md"),
        "/usr/share/man/man1/chimewayd.1.gz",
    ):
        assert f".{path}" in listed
    assert listed.count("root/root") == len(listed.splitlines())


def test_nothing_in_the_package_names_the_place_it_was_built_in(
    package: Path, tmp_path: Path
) -> None:
    subprocess.run(["dpkg-deb", "--extract", package, tmp_path], check=True)

    found = subprocess.run(
        ["grep", "-rlE", "/tmp/tmp\\.|" + str(ROOT), tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )

    assert found.stdout == ""


def test_installed_package_has_its_user_and_keeps_its_secret(package: Path, tmp_path: Path) -> None:
    said = in_a_copy(
        package,
        tmp_path,
        """
        dpkg --install /package/*.deb >&2
        id --user --name chimewayd
        stat --format='%a %U' /etc/chimewayd/dsn
        chimewayd --version
        dpkg --verify chimewayd
        # A system without manuals has no man to look them up.
        systemd-analyze verify /usr/lib/systemd/system/chimewayd{,-migrate}.service 2>&1 \
          | grep -v "Command 'man" || true
        """,
    )

    assert said.splitlines()[:2] == ["chimewayd", "600 root"]
    assert said.splitlines()[2].startswith("chimewayd ")
    assert said.splitlines()[3:] == []


def test_installed_package_migrates_and_delivers_as_its_user(
    package: Path, tmp_path: Path, empty_dsn: str
) -> None:
    said = in_a_copy(
        package,
        tmp_path,
        """
        dpkg --install /package/*.deb >&2
        printf '[channels.bin]\\nadapter = "sink"\\n' >>/etc/chimewayd/config.toml
        mkdir --parents --mode=755 /run/credentials
        echo "$1" >/run/credentials/dsn
        # As the units do: this user, the credential, no other environment.
        cat >/usr/local/bin/as_service <<'SCRIPT'
#!/bin/sh
exec setpriv --reuid=chimewayd --regid=chimewayd --clear-groups --no-new-privs \
  env --ignore-environment PATH=/usr/bin:/bin HOME=/var/lib/chimewayd \
  CREDENTIALS_DIRECTORY=/run/credentials "$@"
SCRIPT
        chmod 755 /usr/local/bin/as_service
        as_service chimewayd config check
        as_service chimewayd migrate >&2
        as_service chimewayd run >/tmp/log 2>&1 & daemon=$!
        trap 'kill $daemon' EXIT
        id=$(as_service chimewayd send bin me --payload '{}')
        until grep --quiet "attempt_recorded.*$id" /tmp/log; do
          kill -0 $daemon || { cat /tmp/log; exit 1; }
          sleep 0.2
        done
        stat --format=%U /proc/$daemon
        trap - EXIT
        kill $daemon
        wait $daemon
        grep --only-matching '"event":"daemon_stopped"' /tmp/log
        """,
        empty_dsn,
    )

    assert said.splitlines() == ["right: bin", "chimewayd", '"event":"daemon_stopped"']


def test_purged_package_leaves_no_file(package: Path, tmp_path: Path) -> None:
    said = in_a_copy(
        package,
        tmp_path,
        """
        dpkg --install /package/*.deb >&2
        chimewayd --version >&2
        dpkg --purge chimewayd >&2
        find / -xdev -path /package -prune -o -path '*chimewayd*' -newer /package -print \
          | grep -E '^/(usr|etc|var/lib/chimewayd)' || true
        """,
    )

    assert said == ""
