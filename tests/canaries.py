"""Where a planted secret may come to light: everything that a system writes while it runs.

The log is the daemon's own to give; the rest is asked for here.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import aiohttp
import asyncpg
from commands import chimewayd

from chimewayd import embedded

PAYLOAD = "canary-payload-2Wp"
HTTP_TOKEN = "canary-http-token-of-32-characters"

RECIPIENT = re.compile(r'"recipient":"(?:[^"\\]|\\.)*",?')

TABLES = """
select c.relname::text from pg_class as c
where c.relnamespace = 'chimeway'::regnamespace and c.relkind = 'r'
"""

EXPLAINED = """
select e.* from chimeway.deliveries as d cross join lateral chimeway.explain(d.id) as e
"""


@contextmanager
def talkative_server() -> Iterator[embedded.Server]:
    """Run a server which logs every statement that fails or takes any time."""
    talkative = {
        "log_min_duration_statement": "0",
        "log_parameter_max_length_on_error": "-1",
        "log_connections": "on",
    }
    with embedded.server(settings=talkative) as server:
        yield server


async def told_by_commands(
    dsn: str, ids: list[str], environment: Mapping[str, str] | None = None
) -> str:
    """Return what the commands print that an operator would look with, and those that fail."""
    wrong = dsn.replace("/postgres?", "/nowhere?")
    commands: list[tuple[str, ...]] = [
        *(("--dsn", dsn, "explain", each) for each in ids),
        ("--dsn", dsn, "status", "--json"),
        ("--dsn", dsn, "list"),
        ("--dsn", dsn, "list", "--json"),
        ("--dsn", dsn, "tail", "--once", "--lines", "100"),
        ("--dsn", dsn, "failures"),
        ("--dsn", dsn, "doctor"),
        ("--dsn", dsn, "config", "show"),
        ("--dsn", wrong, "status"),
        ("--dsn", dsn.replace("/postgres?", "/postgres#"), "status"),
        ("--dsn", dsn, "send", "Bad Channel", "ada", "--payload", json.dumps({"a": PAYLOAD})),
    ]
    ended = [await chimewayd(*command, environment=environment) for command in commands]
    return "\n".join(_without_recipients(each.stdout) + each.stderr for each in ended)


def _without_recipients(printed: str) -> str:
    """Leave out what programs get whole: an operator may ask whom a delivery is for."""
    return RECIPIENT.sub("", printed)


async def told_by_the_database(connection: asyncpg.Connection) -> str:
    """Return each column of each table but the two that producers write, and what explain says."""
    rows = []
    for (table,) in await connection.fetch(TABLES):
        for row in await connection.fetch(f"select * from chimeway.{table}"):  # noqa: S608 - our own tables
            kept = {
                name: value for name, value in row.items() if name not in {"payload", "recipient"}
            }
            rows.append(str(kept))
    rows += [str(dict(row)) for row in await connection.fetch(EXPLAINED)]
    rows += [str(dict(row)) for row in await connection.fetch("select * from pg_stat_activity")]
    return "\n".join(rows)


async def told_by_the_endpoint(port: int) -> str:
    """Return what each of its pages says to somebody who may ask."""
    head = {"Authorization": f"Bearer {HTTP_TOKEN}"}
    async with aiohttp.ClientSession(headers=head) as client:
        told = []
        for path in ("metrics", "status", "livez", "readyz", "nowhere"):
            async with client.get(f"http://127.0.0.1:{port}/{path}") as answer:
                told.append(await answer.text())
        assert "chimewayd_attempts_total" in told[0]
    return "\n".join(told)


def log_of(server: embedded.Server) -> str:
    """Return the log of Postgres itself."""
    (directory,) = parse_qs(urlsplit(server.dsn).query)["host"]
    return Path(directory, "log").read_text("utf-8", "replace")
