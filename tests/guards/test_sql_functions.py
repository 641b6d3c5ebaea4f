"""The rules of sql/: what a reviewer would otherwise have to look for."""

import re
from pathlib import Path

import pytest
from engine import Connection

pytestmark = pytest.mark.anyio

SQL = Path(__file__).parents[2] / "sql"
FUNCTIONS = sorted((SQL / "functions").glob("*.sql"))
FILES = [*FUNCTIONS, *sorted((SQL / "migrations").glob("*.sql"))]
SEARCH_PATH = "search_path=pg_catalog, pg_temp"
DEFINITION = re.compile(
    r"create\s+(?:or\s+replace\s+)?(?:function|procedure)\s+([\w.]+)", re.IGNORECASE
)
COMMENT_OR_LITERAL = re.compile(r"--[^\n]*|'(?:[^']|'')*'")

PROBLEMS = """
select format('%s: %s', p.oid::regprocedure, problem.text)
from pg_proc as p
cross join lateral (values
  (obj_description(p.oid, 'pg_proc') is null, 'has no comment'),
  (has_function_privilege('public', p.oid, 'execute'), 'may be executed by public'),
  (p.prosecdef and not $1 = any (coalesce(p.proconfig, '{}')), 'has not the search_path it must'),
  (exists (
    select from unnest(p.proconfig) as s (setting)
    where s.setting like 'search_path=%' and s.setting <> $1), 'has a search_path of its own')
) as problem (applies, text)
where p.pronamespace = 'chimeway'::regnamespace and problem.applies
"""

GRANTED = "select object from chimeway.rights() where privilege = 'execute'"
DEFINERS = """
select proname::text from pg_proc where pronamespace = 'chimeway'::regnamespace and prosecdef
"""
READS_NOTHING = {"clock", "rights"}
TRIGGERS_OF_PRODUCERS = {"enqueue_jobs", "ring_at_commit"}

UNEXPLAINED = """
select c.relname::text from pg_class as c
where c.relnamespace = 'chimeway'::regnamespace and c.relkind in ('r', 'p', 'v', 'S')
  and obj_description(c.oid, 'pg_class') is null
  and not exists (
    select from pg_depend as d where d.objid = c.oid and d.deptype = 'i') -- identity columns
union all
select c.relname || '.' || a.attname from pg_class as c
join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relnamespace = 'chimeway'::regnamespace and c.relkind in ('r', 'p', 'v')
  and col_description(c.oid, a.attnum) is null
"""


@pytest.mark.parametrize("file", FUNCTIONS, ids=lambda file: file.stem)
def test_file_defines_the_one_function_it_is_named_after(file: Path) -> None:
    assert DEFINITION.findall(file.read_text()) == [f"chimeway.{file.stem}"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_sql_is_written_in_lower_case(file: Path) -> None:
    code = COMMENT_OR_LITERAL.sub("''", file.read_text())

    assert re.findall(r"\w*[A-Z]\w*", code) == []


async def test_database_has_the_functions_of_the_folder_and_no_overloads(
    connection: Connection,
) -> None:
    rows = await connection.fetch(
        "select proname::text from pg_proc where pronamespace = 'chimeway'::regnamespace order by 1"
    )

    assert [row[0] for row in rows] == [file.stem for file in FUNCTIONS]


async def test_functions_are_commented_private_and_safe_from_the_callers_path(
    connection: Connection,
) -> None:
    rows = await connection.fetch(PROBLEMS, SEARCH_PATH)

    assert [row[0] for row in rows] == []


async def test_tables_and_columns_are_commented(connection: Connection) -> None:
    assert [row[0] for row in await connection.fetch(UNEXPLAINED)] == []


async def test_only_what_is_called_from_outside_runs_as_the_owner(connection: Connection) -> None:
    called = {row[0] for row in await connection.fetch(GRANTED)}

    definers = {row[0] for row in await connection.fetch(DEFINERS)}

    assert definers == called - READS_NOTHING | TRIGGERS_OF_PRODUCERS
