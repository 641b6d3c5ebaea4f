"""A Postfix of the test's own, on loopback: a mail server that others wrote and many run.

    async with postfix() as server:
        …deliver to ada@example.org through server.port…
        mail = await server.mail()

Postfix starts as root only. Where it cannot be had the test is skipped, unless
`CHIMEWAYD_TEST_POSTFIX=required`, as CI says once it has installed it: then it fails.
"""

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import pytest
import trustme

NEED = "CHIMEWAYD_TEST_POSTFIX"
LOOK_SECONDS = 0.05
WAIT_SECONDS = 20.0
SIZE_LIMIT_BYTES = 200_000

MAIN = """
compatibility_level = 3.6
mail_owner = postfix
setgid_group = postdrop
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
myhostname = postfix.test
mydestination =
mynetworks =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
message_size_limit = {size}
virtual_mailbox_domains = example.org
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = inline:{{ {{ada@example.org = ada/}}, {{ädä@example.org = ada/}} }}
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
smtpd_tls_security_level = may
smtpd_tls_chain_files = {folder}/relay.pem
"""

MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
tlsmgr    unix - - n 1000? 1 tlsmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
proxymap  unix - - n - - proxymap
virtual   unix - n n - - virtual
error     unix - - n - - error
retry     unix - - n - - error
anvil     unix - - n - 1 anvil
postlog   unix-dgram n - n - 1 postlogd
"""


@dataclass(frozen=True, slots=True)
class Postfix:
    """A running server."""

    folder: Path
    port: int

    @property
    def ca_file(self) -> str:
        """The authority of its certificate, which is for localhost."""
        return f"{self.folder}/ca.pem"

    @property
    def log(self) -> str:
        """What it has logged."""
        return (self.folder / "log").read_text()

    @property
    def mailbox(self) -> str:
        """Everything that has arrived, as it stands there."""
        new = self.folder / "mail/ada/new"
        return "".join(file.read_text(errors="replace") for file in new.iterdir())

    async def mail(self, nth: int = 1) -> EmailMessage:
        """Wait until so many mails have arrived; return the one that came last.

        Raises:
            TimeoutError: they did not come.
        """
        new = self.folder / "mail/ada/new"
        with anyio.fail_after(WAIT_SECONDS):
            while not new.is_dir() or len(list(new.iterdir())) < nth:  # noqa: ASYNC110 - only a folder knows
                await anyio.sleep(LOOK_SECONDS)
        newest = max(new.iterdir(), key=lambda file: file.stat().st_mtime_ns)
        message = message_from_bytes(newest.read_bytes(), policy=policy.default)
        assert isinstance(message, EmailMessage)
        return message


@asynccontextmanager
async def postfix() -> AsyncIterator[Postfix]:
    """Run a server for as long as the context is open."""
    command = _command()
    with TemporaryDirectory(prefix="chimewayd-postfix-", dir="/tmp") as name:
        server = Postfix(Path(name), _free_port())
        _configure(server)
        _run(command, server, "start")
        try:
            yield server
        finally:
            _run(command, server, "stop")


def _command() -> str:
    command = shutil.which("postfix", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    lacks = "is not installed" if command is None else "starts as root only" * bool(os.geteuid())
    if command is None or lacks:
        if os.environ.get(NEED) == "required":
            pytest.fail(f"postfix {lacks}, and {NEED} says that it is required")
        pytest.skip(f"postfix {lacks}")
    return command


def _configure(server: Postfix) -> None:
    folder, owner = server.folder, pwd.getpwnam("postfix")
    folder.chmod(0o755)  # Postfix's own users look in, too
    authority = trustme.CA()
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(
        f"{folder}/relay.pem"
    )
    authority.cert_pem.write_to_path(server.ca_file)
    for owned in ("data", "mail"):
        (folder / owned).mkdir()
        os.chown(folder / owned, owner.pw_uid, owner.pw_gid)
    (folder / "queue").mkdir()
    (folder / "etc").mkdir()
    main = MAIN.format(folder=folder, uid=owner.pw_uid, gid=owner.pw_gid, size=SIZE_LIMIT_BYTES)
    (folder / "etc/main.cf").write_text(main)
    (folder / "etc/master.cf").write_text(MASTER.format(port=server.port))


def _run(command: str, server: Postfix, verb: str) -> None:
    done = subprocess.run(
        [command, "-c", f"{server.folder}/etc", verb],
        check=False,
        capture_output=True,
        timeout=WAIT_SECONDS,
    )
    if done.returncode:
        log = server.folder / "log"
        told = done.stderr.decode() + (log.read_text() if log.exists() else "")
        pytest.fail(f"postfix {verb} failed: {told}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port
