"""Who may do what: the documented matrix, chimeway.rights() and the catalog say the same.

A new function, table, sequence, column or type fails here until somebody decided who may use it:
its place in the tables of sql/README.md, and a line in sql/functions/rights.sql for each right of a
role.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine import Connection

from chimewayd import rights

pytestmark = pytest.mark.anyio

SQL_README = Path(__file__).parents[2] / "sql" / "README.md"
ROLES = ("daemon", "producer", "operator", "reader")
Right = tuple[str, str, str, str | None]  # role, privilege, object, column

EVERYTHING = """
select p.proname::text from pg_proc as p where p.pronamespace = 'chimeway'::regnamespace
union all
select c.relname from pg_class as c
where c.relnamespace = 'chimeway'::regnamespace and c.relkind not in ('i', 't')
union all
select 'deliveries.' || a.attname from pg_attribute as a
where a.attrelid = 'chimeway.deliveries'::regclass and a.attnum > 0 and not a.attisdropped
union all  -- types, domains, operators and whatever else a schema can hold
select pg_describe_object(d.classid, d.objid, 0) from pg_depend as d
where d.refclassid = 'pg_namespace'::regclass and d.refobjid = 'chimeway'::regnamespace
  and d.classid not in ('pg_proc'::regclass, 'pg_class'::regclass)
"""

GRANTED = """
with acls as (
  select p.proname::text as object, null as column_name,
    coalesce(p.proacl, acldefault('f', p.proowner)) as acl, p.proowner as owner
  from pg_proc as p where p.pronamespace = 'chimeway'::regnamespace
  union all
  select c.relname, null, c.relacl, c.relowner
  from pg_class as c where c.relnamespace = 'chimeway'::regnamespace
  union all
  select c.relname, a.attname, a.attacl, c.relowner
  from pg_attribute as a join pg_class as c on c.oid = a.attrelid
  where c.relnamespace = 'chimeway'::regnamespace
  union all
  select 'schema ' || n.nspname, null, n.nspacl, n.nspowner
  from pg_namespace as n where n.nspname = 'chimeway'
  union all
  select 'default for ' || d.defaclobjtype::text, null, d.defaclacl, d.defaclrole
  from pg_default_acl as d
)
select coalesce(substr(r.rolname, length('chimeway_') + 1), 'public') as role,
  lower(a.privilege_type) as privilege, s.object, s.column_name
from acls as s
cross join lateral aclexplode(s.acl) as a
left join pg_roles as r on r.oid = a.grantee
where a.grantee <> s.owner
"""


def section_rows(heading: str) -> Iterator[list[str]]:
    """Yield the rows of a section's tables, without their heads."""
    text = SQL_README.read_text("utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and "`" in cells[-1] + cells[0] and "columns of" not in cells[0]:
            yield cells


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def documented() -> tuple[set[str], set[Right]]:
    """Return the objects that the tables of sql/README.md place, and the rights they give."""
    placed: set[str] = set()
    given: set[Right] = {(role, "usage", "schema chimeway", None) for role in ROLES}
    for _, roles, functions in section_rows("Functions"):
        placed.update(names(functions))
        given |= {
            (role, "execute", function, None)
            for role in re.findall(r"\w+", roles)
            if role != "nobody"
            for function in names(functions)
        }
    for first, *cells in section_rows("Roles"):
        is_table = len(cells) == len(ROLES)
        placed.update(name if is_table else f"deliveries.{name}" for name in names(first))
        for role, cell in zip(ROLES if is_table else ROLES[1:], cells, strict=True):
            for word in re.findall(r"(select|insert|update|delete)(?: of `(\w+)`)?", cell):
                privilege, column = word[0], word[1] or None
                given |= {
                    (role, privilege, name, column)
                    if is_table
                    else (role, privilege, "deliveries", name)
                    for name in names(first)
                }
    return placed, given


async def test_every_object_has_been_placed_and_every_right_is_the_documented_one(
    connection: Connection,
) -> None:
    placed, given = documented()

    existing = {row[0] for row in await connection.fetch(EVERYTHING)}
    granted = {tuple(row) for row in await connection.fetch(GRANTED)}

    assert sorted(existing - placed) == []
    assert sorted(placed - existing) == []
    assert sorted(granted - given, key=str) == []
    assert sorted(given - granted, key=str) == []


@pytest.mark.parametrize(
    "change",
    [
        "create function chimeway.extra() returns integer language sql as 'select 1'",
        "create table chimeway.extra (id integer)",
        "create view chimeway.extra as select 1 as one",
        "create sequence chimeway.extra",
        "create domain chimeway.extra as text",
        "create type chimeway.extra as enum ('a')",
        "create type chimeway.extra as (a text)",
        "create operator chimeway.=== (function = int4pl, leftarg = int4, rightarg = int4)",
        'create collation chimeway.extra from "C"',
        "alter table chimeway.deliveries add column extra text",
        "grant select on chimeway.jobs to chimeway_reader",
        "grant select (payload) on chimeway.deliveries to chimeway_producer",
        "grant usage on schema chimeway to public",
        "grant update on sequence chimeway.bell_rung to chimeway_producer",
        "grant execute on function chimeway.cancel(uuid, text, text) to public",
        "revoke execute on function chimeway.claim from chimeway_daemon",
        "alter default privileges in schema chimeway grant select on tables to chimeway_reader",
    ],
)
async def test_what_nobody_decided_is_found(connection: Connection, change: str) -> None:
    await connection.execute(change)

    with pytest.raises(AssertionError):
        await test_every_object_has_been_placed_and_every_right_is_the_documented_one(connection)


async def test_migrated_database_has_nothing_to_grant(connection: Connection) -> None:
    assert not await rights.differ(connection)
    assert await rights.missing_roles(connection) == []


async def test_roles_of_chimeway_can_do_nothing_by_themselves(connection: Connection) -> None:
    rows = await connection.fetch(
        "select rolname::text from pg_roles where rolname = any ($1::text[]) and ("
        "rolcanlogin or rolsuper or rolcreaterole or rolcreatedb or rolbypassrls)",
        list(rights.ROLES),
    )

    assert rows == []
    owners = await connection.fetch(
        "select distinct relowner::regrole::text from pg_class "
        "where relnamespace = 'chimeway'::regnamespace "
        "union select proowner::regrole::text from pg_proc "
        "where pronamespace = 'chimeway'::regnamespace"
    )
    assert [row[0] for row in owners] == ["chimeway_owner"]
