"""The documents' examples, run exactly as they stand, in their languages.

What is not installed here is a skipped test that says so.
"""

import re
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import engine
import pytest
from logins import login

from chimewayd import dsn as dsn_module

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
URL = "https://example.org/hooks"
LIB_PQ = "github.com/lib/pq"
DEBIANS_LIB_PQ = Path("/usr/share/gocode/src", LIB_PQ)
"""Where golang-github-lib-pq-dev puts the driver's source: no module proxy is needed then."""
IS_LIB_PQ_HERE = DEBIANS_LIB_PQ.exists()

INSTALL_SECONDS = 120
COMPILE_SECONDS = 200
RUN_SECONDS = 60

PREPARE = """
create table orders (id integer primary key, status text);
insert into orders values (42, 'packed');
"""
SHIPPED = """
select o.status, d.recipient, d.payload ->> 'order' as number, d.idempotency_key, j.channel
from orders as o, chimeway.deliveries as d
join chimeway.jobs as j on j.delivery_id = d.id
"""

PSYCOPG = """
with psycopg.connect(DSN) as connection:
    ship(connection, 42, URL)
"""
SQLALCHEMY = """
import psycopg, sqlalchemy
engine = sqlalchemy.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(DSN))
with Session(engine) as session:
    key = ship(session, 42, URL)
    assert session.get_one(Delivery, key).status == "pending"
try:
    with Session(engine) as session:
        ship(session, 42, URL)
except sqlalchemy.exc.IntegrityError:
    print("known")
"""
BEFORE_DJANGO = """
import django
from django.conf import settings
settings.configure(USE_TZ=True, DATABASES={"default": {
    "ENGINE": "django.db.backends.postgresql", "NAME": NAME, "USER": USER, "PASSWORD": PASSWORD,
    "HOST": HOST, "PORT": PORT}})
django.setup()
"""
DJANGO = """
from django.db import IntegrityError
key = ship(42, URL)
assert Delivery.objects.defer("payload", "recipient").get(pk=key).status == "pending"
try:
    ship(42, URL)
except IntegrityError:
    print("known")
"""
NODE = """
const { Pool } = require("pg");
const [host, port, database, user, password] = process.argv.slice(2);
const pool = new Pool({ host, port: Number(port), database, user, password });
ship(pool, 42, "https://example.org/hooks").then(() => pool.end());
"""
GO = """
func main() {
	db, err := sql.Open("postgres", os.Args[1])
	if err == nil {
		err = ship(context.Background(), db, 42, "https://example.org/hooks")
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
"""
GO_IMPORTS = """package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"

	_ "github.com/lib/pq"
)
"""
RUBY = """
host, port, dbname, user, password = ARGV
ship(PG.connect(host: host, port: port, dbname: dbname, user: user, password: password), 42,
  "https://example.org/hooks")
"""


def example(document: str, language: str, mark: str = "") -> str:
    """Return the one block of a language that contains the mark."""
    text = (ROOT / document).read_text("utf-8")
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (found,) = [block for block in blocks if mark in block and "ship" in block]
    return str(found)


def place(dsn: str) -> dict[str, str]:
    """Return where the test's database is, in parts."""
    where, parts = dsn_module.parse(dsn, {}).places[0], urlsplit(dsn)
    return {
        "host": where.host,
        "port": str(where.port),
        "database": parts.path.removeprefix("/"),
        "user": parts.username or "",
        "password": parts.password or "none",
    }


async def run(argv: list[str], folder: Path, seconds: float = RUN_SECONDS) -> str:
    """Run a program to its end; return what it printed."""
    with anyio.fail_after(seconds):
        ended = await anyio.run_process(argv, cwd=folder, check=False)
    assert ended.returncode == 0, (ended.stdout + ended.stderr).decode()
    return ended.stdout.decode()


def tool(name: str) -> str:
    """Return where a program is; without it the test is skipped, and says so."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


async def install(argv: list[str], folder: Path) -> None:
    """Fetch what an example imports; where that cannot be had, the test is skipped and says so."""
    try:
        await run(argv, folder, INSTALL_SECONDS)
    except (AssertionError, TimeoutError) as error:
        pytest.skip(f"{argv[0]} cannot get what the example imports: {str(error).splitlines()[:1]}")


@pytest.fixture
async def orders(connection: engine.Connection) -> engine.Connection:
    """A database with an order, as the examples expect."""
    await connection.execute(PREPARE)
    return connection


@pytest.fixture
async def app(dsn: str, orders: engine.Connection) -> AsyncIterator[str]:
    """The DSN of an application: it has its own table, and of chimeway a producer's rights."""
    async with login(dsn, "chimeway_producer") as own:
        await orders.execute(f"grant select, update on orders to {urlsplit(own).username}")
        yield own


async def check_shipped(connection: engine.Connection) -> None:
    row = await connection.fetchrow(SHIPPED)
    assert row is not None
    assert tuple(row) == ("shipped", URL, "42", "order-42-shipped", "orders")
    assert await connection.fetchval("select count(*) from chimeway.deliveries") == 1


PYTHON = {
    "psycopg": ("import psycopg\n\nfrom chimewayd", "", PSYCOPG, ""),
    "SQLAlchemy": ("DeclarativeBase", "", SQLALCHEMY, "known\n"),
    "Django": ("django.db", BEFORE_DJANGO, DJANGO, "known\n"),
}


@pytest.mark.parametrize("library", PYTHON)
async def test_a_python_example_inserts_in_its_own_transaction(
    library: str, app: str, orders: engine.Connection, tmp_path: Path
) -> None:
    mark, before, after, printed = PYTHON[library]
    known = {"DSN": app, "URL": URL}
    known |= {name.upper(): value for name, value in place(app).items()}
    known["NAME"] = known.pop("DATABASE")
    given = "\n".join(f"{name} = {value!r}" for name, value in known.items())
    program = tmp_path / "ship.py"
    shown = example("deploy/producers.md", "python", mark)
    program.write_text(f"{given}\n{before}\n{shown}\n{after}", "utf-8")

    assert await run([sys.executable, str(program)], tmp_path) == printed

    await check_shipped(orders)


async def test_the_node_example_inserts_in_its_own_transaction(
    app: str, orders: engine.Connection, tmp_path: Path
) -> None:
    node, npm = tool("node"), tool("npm")
    (tmp_path / "package.json").write_text("{}")
    await install([npm, "install", "--no-audit", "--no-fund", "pg@8"], tmp_path)
    (tmp_path / "ship.js").write_text(example("README.md", "js") + NODE, "utf-8")

    await run([node, "ship.js", *place(app).values()], tmp_path)

    await check_shipped(orders)


async def test_the_go_example_inserts_in_its_own_transaction(
    app: str, orders: engine.Connection, tmp_path: Path
) -> None:
    go = tool("go")
    (tmp_path / "ship.go").write_text(GO_IMPORTS + example("README.md", "go") + GO, "utf-8")
    await run([go, "mod", "init", "ship"], tmp_path)
    if IS_LIB_PQ_HERE:
        known = (f"-require={LIB_PQ}@v0.0.0", f"-replace={LIB_PQ}={DEBIANS_LIB_PQ}")
        await run([go, "mod", "edit", *known], tmp_path)
    else:
        await install([go, "get", f"{LIB_PQ}@v1.10.9"], tmp_path)
    where = place(app) | {"sslmode": "disable"}
    where["dbname"] = where.pop("database")
    given = " ".join(f"{name}={value}" for name, value in where.items())

    await run([go, "run", ".", given], tmp_path, COMPILE_SECONDS)

    await check_shipped(orders)


async def test_the_ruby_example_inserts_in_its_own_transaction(
    app: str, orders: engine.Connection, tmp_path: Path
) -> None:
    ruby = tool("ruby")
    await install([ruby, "-e", 'require "pg"'], tmp_path)
    shown = example("README.md", "ruby")
    (tmp_path / "ship.rb").write_text(f'require "json"\nrequire "pg"\n{shown}{RUBY}', "utf-8")

    await run([ruby, "ship.rb", *place(app).values()], tmp_path)

    await check_shipped(orders)
