"""The installed package under a real systemd, in a Debian booted for it (see `booted`).

It takes root and some minutes: `make test-long ARGS=tests/deploy/test_systemd.py`.
"""

import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import booted
import pytest

pytestmark = [pytest.mark.long, pytest.mark.timeout(2400)]

MISSING = [tool for tool in booted.TOOLS if shutil.which(tool) is None]
if os.geteuid() != 0 or not Path("/etc/debian_version").exists() or MISSING:
    pytest.skip(
        "the service is NOT started by a systemd: this takes root on a Debian with "
        + ", ".join(booted.TOOLS),
        allow_module_level=True,
    )

SETTINGS = """
[channels.bin]
adapter = "sink"

[channels.run]
adapter = "exec"
[channels.run.settings]
command = ["/bin/sh", "-c", "cat >/dev/null; sleep 5"]
"""
HERE = Path(__file__).parent
PROBE = (HERE / "sandbox_probe.sh").read_text("utf-8")
RECEIVER = (HERE / "sandbox_receiver.py").read_text("utf-8")
SHORT_PATIENCE = "[Service]\nWatchdogSec=2\n"
DROP_IN = "/etc/systemd/system/chimewayd.service.d/test.conf"
SANDBOX = {
    "user chimewayd",
    *("write-state yes", "write-run yes", "write-tmp yes", "write-usr no", "write-etc no"),
    *("see-home no", "see-init no", "see-tmp-of-others no", "read-dsn-file no"),
    *("new-user-namespace no", "suid no", "netlink no", "exec-memory no", "realtime no"),
    *("kmsg no", "dns yes", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"),
}
"""What a command of the exec adapter may do there, and what not."""


@pytest.fixture(scope="module")
def system(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[booted.Machine]:
    """The booted Debian, with the package installed and a database for it."""
    root = tmp_path_factory.mktemp("debian") / "root"
    try:
        booted.fill(root)
    except booted.NotFilledError as error:
        pytest.skip(f"the service is NOT started by a systemd: {error}")
    shutil.copy(package, root / "root/chimewayd.deb")
    with booted.booted(root) as machine:
        machine.read("""
            dpkg --install /root/chimewayd.deb
            cp /etc/chimewayd/config.toml /root/config.toml
            cp /etc/chimewayd/dsn /root/dsn
            su postgres -c 'createuser chimewayd && createdb --owner=chimewayd chimewayd'
            systemctl start chimewayd-migrate
            systemd-run --unit=dns dnsmasq --no-daemon --no-hosts --no-resolv \
              --address=/receiver.test/127.0.0.1
            mkdir /home/somebody && echo secret >/tmp/of-root
            """)
        yield machine


@pytest.fixture
def machine(system: booted.Machine) -> booted.Machine:
    """The same with the daemon freshly started, whatever the test before left."""
    configure(system, SETTINGS)
    system.read(f"""
        rm -f {DROP_IN}
        cp /root/dsn /etc/chimewayd/dsn
        systemctl daemon-reload
        systemctl reset-failed
        systemctl start postgresql
        systemctl restart chimewayd
        """)
    return system


def configure(machine: booted.Machine, settings: str) -> None:
    machine.read(f"""
        cp /root/config.toml /etc/chimewayd/config.toml
        cat >>/etc/chimewayd/config.toml <<'TOML'
{settings}
TOML
        """)


def shown(machine: booted.Machine, name: str) -> str:
    return machine.read(f"systemctl show --property={name} --value chimewayd")


def said(machine: booted.Machine) -> str:
    """Return what the journal keeps of the daemon since it was started last."""
    return machine.read(
        "journalctl --unit=chimewayd --output=cat "
        "_SYSTEMD_INVOCATION_ID=$(systemctl show --property=InvocationID --value chimewayd) "
        "+ INVOCATION_ID=$(systemctl show --property=InvocationID --value chimewayd)"
    )


def psql(statement: str) -> str:
    """Return the words of a command that has a statement run by the database's owner."""
    return f"runuser -u postgres -- psql -qAtd chimewayd -c {shlex.quote(statement)}"


def send(machine: booted.Machine, channel: str, recipient: str = "me") -> str:
    into = "insert into chimeway.deliveries (channel, recipient, payload) values "
    return machine.read(psql(f"{into} ('{channel}', '{recipient}', '{{}}') returning id"))


def wait_for(machine: booted.Machine, delivery_id: str) -> None:
    """Wait until a delivery succeeded."""
    status = f"select status from chimeway.deliveries where id = '{delivery_id}'"  # noqa: S608 - ours
    machine.wait(f"{psql(status)} | grep -qx succeeded")


def test_start_is_over_when_the_daemon_is_ready_and_the_status_line_lives(
    machine: booted.Machine,
) -> None:
    lines = said(machine).splitlines()
    (ready,) = (n for n, line in enumerate(lines) if '"daemon_ready"' in line)
    (started,) = (n for n, line in enumerate(lines) if line.startswith("Started chimewayd"))
    assert ready < started
    assert shown(machine, "User") == "chimewayd"
    assert "serving 2 channels" in machine.read("systemctl status chimewayd")

    wait_for(machine, send(machine, "bin"))

    machine.wait("systemctl status chimewayd | grep -q ' 1 done'")
    # Lines carry the priorities that journalctl filters by.
    assert "attempt_recorded" in machine.read("journalctl --unit=chimewayd --priority=6..6")
    assert "{" not in machine.read("journalctl --unit=chimewayd --priority=err --output=cat")


def test_sandbox_holds_and_leaves_what_adapters_need(machine: booted.Machine) -> None:
    machine.read(
        f"cat >/usr/local/bin/probe <<'PROBE'\n{PROBE}\nPROBE\nchmod 755 /usr/local/bin/probe"
    )
    probe = '[channels.probe]\nadapter = "exec"\nsettings.command = ["/usr/local/bin/probe"]\n'
    configure(machine, SETTINGS + probe)
    machine.read("systemctl restart chimewayd")

    wait_for(machine, send(machine, "probe"))

    found = machine.read("cat /var/lib/chimewayd/probe")
    assert SANDBOX - set(found.splitlines()) == set()
    assert "postgresql" not in found


def test_webhooks_find_their_receiver_by_name(machine: booted.Machine) -> None:
    machine.read(
        f"cat >/root/receiver.py <<'PYTHON'\n{RECEIVER}\nPYTHON\n"
        "systemd-run --unit=receiver python3 /root/receiver.py"
    )
    machine.wait("(: </dev/tcp/127.0.0.1/8080) 2>/dev/null")
    hook = '[channels.hook]\nadapter = "webhook"\nsettings.allow_networks = ["127.0.0.0/8"]\n'
    configure(machine, SETTINGS + hook)
    machine.read("systemctl restart chimewayd")

    wait_for(machine, send(machine, "hook", "http://receiver.test:8080/"))


def test_health_is_told_through_a_socket_in_the_runtime_directory(
    machine: booted.Machine,
) -> None:
    configure(machine, 'http_listen = "unix:/run/chimewayd/http"\n' + SETTINGS)
    machine.read("systemctl restart chimewayd")

    wait_for(machine, send(machine, "bin"))

    asked = "curl --silent --fail --unix-socket /run/chimewayd/http http://localhost"
    assert machine.read(f"{asked}/readyz")
    page = machine.read(f"{asked}/metrics")
    assert 'chimewayd_deliveries_total{channel="bin",outcome="succeeded"} 1.0' in page
    assert "process_resident_memory_bytes" in page  # /proc/stat is seen in the sandbox


def test_password_comes_as_a_credential_and_stands_in_no_environment(
    machine: booted.Machine,
) -> None:
    machine.read(f"""
        {psql("alter role chimewayd password 'hush-hush'")}
        echo 'postgresql://chimewayd:hush-hush@127.0.0.1/chimewayd' >/etc/chimewayd/dsn
        systemctl restart chimewayd
        """)

    wait_for(machine, send(machine, "bin"))

    environment = machine.read(
        "cat /proc/$(systemctl show -P MainPID chimewayd)/environ | tr '\\0' ' '"
    )
    assert "CREDENTIALS_DIRECTORY" in environment
    assert "hush-hush" not in environment
    assert "hush-hush" not in machine.read("journalctl --unit=chimewayd --output=cat")


def test_reload_takes_what_is_right_and_refuses_what_is_wrong(machine: booted.Machine) -> None:
    before = shown(machine, "MainPID")
    configure(machine, SETTINGS + '[channels.more]\nadapter = "sink"\n')
    machine.read("systemctl reload chimewayd")
    machine.wait("systemctl status chimewayd | grep -q 'serving 3 channels'")
    wait_for(machine, send(machine, "more"))

    configure(machine, SETTINGS.replace("sink", "sinc"))
    refused = machine.run("systemctl reload chimewayd")

    assert refused.returncode == 1
    assert "did you mean 'sink'?" in said(machine)
    assert (shown(machine, "ActiveState"), shown(machine, "MainPID")) == ("active", before)
    wait_for(machine, send(machine, "more"))


def test_daemon_that_stands_still_is_replaced(machine: booted.Machine) -> None:
    machine.read(f"""
        mkdir -p $(dirname {DROP_IN}) && echo '{SHORT_PATIENCE}' >{DROP_IN}
        systemctl daemon-reload
        systemctl restart chimewayd
        kill -STOP $(systemctl show --property=MainPID --value chimewayd)
        """)

    machine.wait(
        "systemctl show chimewayd | grep -q NRestarts=1 && systemctl is-active -q chimewayd"
    )

    journal = machine.read("journalctl --unit=chimewayd --output=cat")
    assert "Watchdog timeout" in journal
    assert "Fatal Python error: Aborted" in journal  # where every thread stood
    wait_for(machine, send(machine, "bin"))


def test_wrong_configuration_ends_for_good(machine: booted.Machine) -> None:
    configure(machine, SETTINGS.replace("sink", "sinc"))

    assert machine.run("systemctl restart chimewayd").returncode == 1

    machine.wait("systemctl is-failed -q chimewayd")
    assert (shown(machine, "ExecMainStatus"), shown(machine, "NRestarts")) == ("78", "0")
    assert "did you mean 'sink'?" in machine.read("systemctl status chimewayd || true")


def test_daemon_comes_up_by_itself_when_the_schema_is_there(machine: booted.Machine) -> None:
    machine.read(f"""
        systemctl stop chimewayd
        {psql("drop schema chimeway cascade")}
        systemctl start --no-block chimewayd
        """)
    machine.wait("systemctl show chimewayd | grep -q ExecMainStatus=75")

    machine.read("systemctl start chimewayd-migrate")

    machine.wait("systemctl is-active -q chimewayd")
    wait_for(machine, send(machine, "bin"))


def test_outage_of_the_database_is_sat_out(machine: booted.Machine) -> None:
    before = shown(machine, "MainPID")
    machine.read("systemctl stop postgresql")
    machine.wait("journalctl -u chimewayd -o cat | grep -q listener_lost")

    machine.read("systemctl start postgresql")

    wait_for(machine, send(machine, "bin"))
    assert (shown(machine, "MainPID"), shown(machine, "NRestarts")) == (before, "0")


def test_stop_lets_the_call_end_and_records_it(machine: booted.Machine) -> None:
    delivery_id = send(machine, "run")
    machine.wait("pgrep --uid chimewayd --exact sleep")

    since = "journalctl --unit=chimewayd --output=cat --cursor-file=/root/seen"
    machine.read(since)

    machine.read("systemctl stop chimewayd")

    assert '"daemon_stopped"' in machine.read(since)
    assert (shown(machine, "Result"), shown(machine, "ExecMainStatus")) == ("success", "0")
    wait_for(machine, delivery_id)


def test_upgrade_leaves_the_daemon_running_and_removal_ends_it(machine: booted.Machine) -> None:
    before = shown(machine, "MainPID")

    assert "the old release still runs" in machine.read("dpkg --install /root/chimewayd.deb 2>&1")

    assert shown(machine, "MainPID") == before
    wait_for(machine, send(machine, "bin"))
    machine.read("dpkg --purge chimewayd 2>&1")
    assert machine.run("pgrep --uid chimewayd").returncode == 1
    assert machine.run("systemctl cat chimewayd").returncode == 1
