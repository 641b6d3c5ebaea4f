"""Two neighbouring releases on one database, one of them with a migration more.

    old daemon runs ─▶ the next release migrates ─▶ both run ─▶ the old one is killed
                                                              └▶ it is started again: refused, 75

The next release is this one with another number and one migration that adds a column.
"""

import re
import shutil
from pathlib import Path

from commands import COMMAND

import chimewayd
from chimewayd import migrate
from faults.cluster import connected
from faults.daemon_process import Daemon
from faults.processes import Child
from faults.round import CHANNELS, CONCURRENCY, Case, Round

REFUSED = 75
MIGRATE_SECONDS = 40.0
START_SECONDS = 40.0
PAUSE_SECONDS = 2.0
SOURCE = Path(chimewayd.__file__).parent
MIGRATION = "alter table chimeway.deliveries add column neighbour text;\n"
PAUSE = """
select max(extract(epoch from gap))::float8 from (
  select a.started_at - lag(a.started_at) over (order by a.started_at) as gap
  from chimeway.delivery_attempts as a
) as gaps
"""
ENDED = "select count(*) from chimeway.deliveries where finished_at is not null"


async def neighbours(round_: Round) -> None:
    """The old one works until it ends, and does not begin again."""
    old = await round_.daemon("old", lease="8s")
    await round_.moment()
    release = _next_release(round_.directory / "next")
    new = _daemon(round_, "new", {"PYTHONPATH": f"{release}"})
    await _migrate(round_, new)
    async with connected(round_.cluster.dsn) as connection:
        before = await connection.fetchval(ENDED)
        await round_.moment(1, 2)
        ended = await connection.fetchval(ENDED) - before
        round_.expect(ended > 0, "the old daemon delivered nothing beside the new schema")
        await new.start()
        await round_.moment(2, 3)
        pause = await connection.fetchval(PAUSE)
    round_.facts["longest pause between calls, s"] = pause
    if pause > PAUSE_SECONDS:
        round_.missed.append(f"no call for {pause:.1f} s, at most {PAUSE_SECONDS:g} s aimed at")
    old.kill()
    round_.may_repeat()
    round_.recovers_from_now()
    await old.start(wait=False)
    status = await old.ended(START_SECONDS)
    round_.expect(status == REFUSED, f"the old daemon ended with {status}, not {REFUSED}")
    round_.expect("a newer release was here" in old.tail(), "it did not say why")
    await round_.moment()


def _next_release(directory: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__")
    package = directory / "chimewayd"
    shutil.copytree(SOURCE, package, ignore=ignored)
    if not (package / "sql").is_dir():
        shutil.copytree(SOURCE.parent / "sql", package / "sql", ignore=ignored)
    number = migrate.schema_version() + 1
    (package / "sql" / "migrations" / f"{number:04d}_neighbour.sql").write_text(MIGRATION)
    init = package / "__init__.py"
    init.write_text(re.sub(r'(?m)^__version__ = ".*"$', '__version__ = "99.0.0"', init.read_text()))
    return directory


def _daemon(round_: Round, name: str, environment: dict[str, str]) -> Daemon:
    limits = {"concurrency": CONCURRENCY, "shutdown_grace": "5s", "lease": "8s"}
    one = Daemon(name, round_.directory, round_.cluster.dsn, CHANNELS, limits, environment)
    round_.daemons[name] = one
    return one


async def _migrate(round_: Round, release: Daemon) -> None:
    log = round_.directory / "migrate.log"
    child = Child([COMMAND, "migrate"], log, release.environment)
    try:
        status = await child.ended(MIGRATE_SECONDS)
    finally:
        child.end()
    said = log.read_text()[-300:]
    round_.expect(status == 0 and "neighbour" in said, f"migrate ended with {status}: {said}")


CASES = (
    Case(
        "versions",
        "the next release migrates and runs beside this one, which then may not begin again",
        neighbours,
        recovers_within=30,
    ),
)
