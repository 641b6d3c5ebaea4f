"""Postgres has no space left on its disk, and gets it back."""

import os
import shutil
import subprocess

from faults.processes import Account
from faults.round import Case, Round

ROOM_MEGABYTES = 160
NOBODY = 65534


def missing() -> str | None:
    argv = ["unshare", "-Um", "--map-current-user", "--keep-caps", "true"]
    if not all(map(shutil.which, ("unshare", "setpriv", "mount"))):
        return "unshare, setpriv or mount was not found"
    account = Account(user=NOBODY) if os.geteuid() == 0 else Account()
    failed = subprocess.call(argv, stderr=subprocess.DEVNULL, **account)
    return "the kernel lets nobody mount a small disk of his own" if failed else None


async def fill_and_free(round_: Round) -> None:
    """In some rounds the write-ahead log shares the disk, and the server ends by a panic."""
    await round_.daemon()
    await round_.moment()
    round_.cluster.fill_disk()
    await round_.moment(4, 7)
    round_.cluster.free_disk()
    await round_.cluster.until_it_answers()
    round_.recovers_from_now()
    await round_.moment()


CASES = (
    Case(
        "disk-full",
        "no space for data, or for data and write-ahead log; then freed",
        fill_and_free,
        rounds=3,
        room_megabytes=ROOM_MEGABYTES,
        postgres={"max_wal_size": "48MB", "min_wal_size": "32MB"},
        missing=missing,
    ),
)
