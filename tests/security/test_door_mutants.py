"""Each door, opened on purpose, is noticed by the test that is named beside it.

The named test runs in a copy of the project with the mistake in it, and has to fail there.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import anyio
import pytest

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(150)]

PROJECT = Path(__file__).parents[2]
COPIED = ("chimewayd", "sql", "tests", "deploy", "pyproject.toml", "README.md")
DEADLINE_SECONDS = 120.0


class Opened(NamedTuple):
    """A mistake in one file, and who has to notice it."""

    file: str
    right: str
    wrong: str
    noticed_by: str


OPENED: Mapping[str, Opened] = {
    "an internal address is called": Opened(
        "chimewayd/adapters/address_guard.py",
        "        if reached in network:\n",
        "        if False:\n",
        "tests/adapters/test_address_guard.py::test_internal_address_is_denied_by_its_name",
    ),
    "an address that is packed into another is called": Opened(
        "chimewayd/adapters/address_guard.py",
        "        return dialled.ipv4_mapped\n",
        "        return dialled\n",
        "tests/adapters/test_address_guard.py::test_packed_ipv4_address_is_judged_as_itself",
    ),
    "a line of the log may hold what a terminal obeys": Opened(
        "chimewayd/log_text.py",
        "return body if text.isprintable() else",
        "return body if text else",
        "tests/unit/test_log.py::test_a_line_holds_nothing_that_a_terminal_obeys",
    ),
    "any token will do": Opened(
        "chimewayd/endpoint.py",
        "            if not hmac.compare_digest(given, wanted):\n",
        "            if not given:\n",
        "tests/daemon/test_endpoint.py::test_token_is_asked_for",
    ),
    "a public address needs no token": Opened(
        "chimewayd/config.py",
        "address.is_public and settings.http_token is None",
        "address.is_public and False",
        "tests/security/test_loud.py::test_address_that_others_reach_is_refused_without_a_token",
    ),
    "a tenant sees every tenant": Opened(
        "deploy/tenants.sql",
        "  using (chimeway_tenants.may_see(tenant_id))\n",
        "  using (true)\n",
        "tests/security/test_tenants.py::test_tenants_login_sees_and_inserts_its_own",
    ),
    "certificates are not checked, and nobody is told": Opened(
        "chimewayd/adapters/apprise.py",
        "            if service is not None and not service.verify_certificate:\n",
        "            if service is None:\n",
        "tests/adapters/test_apprise.py::test_url_that_checks_no_certificate_is_told_by_name",
    ),
    "an answer is kept without a bound": Opened(
        "chimewayd/adapters/evidence.py",
        "EXCERPT_LIMIT_BYTES = 2 * 1024\n",
        "EXCERPT_LIMIT_BYTES = 10 * 1024 * 1024\n",
        "tests/security/test_bounds.py::test_babbling_receiver_is_kept_in_two_kibibytes",
    ),
}


def copied(to: Path) -> Path:
    for name in COPIED:
        if (PROJECT / name).is_dir():
            shutil.copytree(PROJECT / name, to / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(PROJECT / name, to / name)
    return to


async def ran(project: Path, test: str) -> subprocess.CompletedProcess[bytes]:
    """Run one test of a copy, against the package of that copy."""
    with anyio.fail_after(DEADLINE_SECONDS):
        return await anyio.run_process(
            [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", test],
            cwd=project,
            env=os.environ | {"PYTHONPATH": str(project)},
            check=False,
        )


async def test_copy_without_a_mistake_passes(tmp_path: Path) -> None:
    ended = await ran(copied(tmp_path), OPENED["any token will do"].noticed_by)

    assert ended.returncode == 0, ended.stdout.decode()


@pytest.mark.parametrize("opened", OPENED.values(), ids=[*OPENED])
async def test_opened_door_is_noticed_by_its_test(tmp_path: Path, opened: Opened) -> None:
    project = copied(tmp_path)
    text = (project / opened.file).read_text("utf-8")
    assert text.count(opened.right) == 1, f"{opened.file} has changed: {opened.right}"
    (project / opened.file).write_text(text.replace(opened.right, opened.wrong), "utf-8")

    ended = await ran(project, opened.noticed_by)

    # 1: tests failed. Anything else, and nothing was tried.
    assert ended.returncode == 1, ended.stdout.decode()
    assert b"error" not in ended.stdout.splitlines()[-1]
