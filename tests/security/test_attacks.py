"""A login that may create what it likes beside chimeway cannot steer chimeway's functions.

It puts functions, operators, domains and tables of its own in front of everything that the
functions of chimeway use, and then calls all that it may. Whatever of its own is run as another
role is written down in evil.taken.
"""

from collections.abc import AsyncIterator
from contextlib import suppress

import asyncpg
import engine
import logins
import pytest
from attacked import CALLS, REPORT

pytestmark = pytest.mark.anyio

ROLES = ("chimeway_producer", "chimeway_daemon", "chimeway_operator", "chimeway_reader")

SHADOWED = (
    "now() returns timestamptz",
    "clock_timestamp() returns timestamptz",
    "clock() returns timestamptz",
    "current_setting(text) returns text",
    "current_setting(text, boolean) returns text",
    "set_config(text, text, boolean) returns text",
    "pg_notify(text, text) returns void",
    "nextval(regclass) returns bigint",
    "setval(regclass, bigint) returns bigint",
    "pg_sequence_last_value(regclass) returns bigint",
    "octet_length(text) returns integer",
    "jsonb_typeof(jsonb) returns text",
    "hashtext(text) returns integer",
    "make_interval() returns interval",
    "cardinality(anyarray) returns integer",
    "is_bell_armed() returns boolean",
    "broken_rule(chimeway.deliveries) returns text",
    "jsonb_strip_nulls(jsonb) returns jsonb",
    "to_char(timestamptz, text) returns text",
    "trim_scale(numeric) returns numeric",
    "round(numeric, integer) returns numeric",
    "min(bigint) returns bigint",
)
OPERATORS = ("=", "<>", "<", "<=", ">", ">=")
TYPES = ("text", "uuid", "timestamptz", "jsonb", "bigint", "integer", "interval")
DOMAINS = ("text", "bool", "int4", "int8", "interval", "timestamptz", "uuid", "jsonb", "regclass")
TABLES = ("deliveries", "jobs", "claims", "channels", "pg_locks", "pg_database", "new_deliveries")

GROUND = """
create schema evil;
grant all on schema evil to public;
create table evil.taken (by_role text, what text);
grant all on evil.taken to public;
create function evil.take(what text) returns boolean language plpgsql as $$
begin
  if current_user operator(pg_catalog.<>) session_user then
    insert into evil.taken values (current_user, what);
  end if;
  return true;
end $$;
"""
CARELESS = {
    "no path of its own": (
        "create function chimeway.careless(p_text text) returns boolean language plpgsql "
        "security definer as $$ begin return octet_length(p_text) > 0; end $$"
    ),
    "an empty path": (
        "create function chimeway.careless(p_text text) returns boolean language plpgsql "
        "security definer set search_path = '' "
        "as $$ declare v_text text := p_text; begin return v_text is null; end $$"
    ),
}
"""What would be taken: an empty path still has the caller's temporary domains first."""


def traps() -> str:
    made = [GROUND]
    for signature in SHADOWED:
        name = signature.partition("(")[0]
        made.append(
            f"create function evil.{signature} language plpgsql as "
            f"$$ begin perform evil.take('{name}'); return null; end $$;"
            if "void" not in signature
            else f"create function evil.{signature} language plpgsql as "
            f"$$ begin perform evil.take('{name}'); end $$;"
        )
    for number, operator in enumerate(OPERATORS):
        for type_ in TYPES:
            function = f"evil.op_{number}_{type_}"
            made.append(
                f"create function {function}({type_}, {type_}) returns boolean language plpgsql as "
                f"$$ begin return evil.take('{operator}'); end $$;"
                f"create operator evil.{operator} (function = {function}, "
                f"leftarg = {type_}, rightarg = {type_});"
            )
    for place in ("evil", "pg_temp"):
        made += [
            f"create domain {place}.{name} as pg_catalog.{name} check (evil.take('domain {name}'));"
            for name in DOMAINS
        ]
        made += [
            f"create {'temp ' if place == 'pg_temp' else ''}table "
            f"{'' if place == 'pg_temp' else 'evil.'}{name} (id integer);"
            for name in TABLES
        ]
    return "\n".join(made)


@pytest.fixture
async def attacker(dsn: str, connection: engine.Connection) -> AsyncIterator[engine.Connection]:
    """A login with every role, its traps laid and standing first in its path."""
    await engine.configure(connection)
    database = await connection.fetchval("select current_database()")
    async with logins.session(dsn, *ROLES) as attacker:
        name = await attacker.fetchval("select current_user")
        await connection.execute(f"grant create on database {database} to {name}")
        # What it inherits would own its traps no more than it does.
        await attacker.execute(traps())
        await attacker.execute("set search_path = pg_temp, evil, pg_catalog")
        yield attacker


async def test_every_function_that_anybody_may_call_is_tried(connection: engine.Connection) -> None:
    granted = await connection.fetch(
        "select object from chimeway.rights() where privilege = 'execute'"
    )

    tried = "\n".join(CALLS)
    assert [row[0] for row in granted if f"chimeway.{row[0]}(" not in tried] == []


async def test_nothing_of_the_callers_runs_as_the_owner(
    attacker: engine.Connection, connection: engine.Connection
) -> None:
    await connection.execute("select nextval('chimeway.bell_armed')")

    # The deferred trigger runs at the commit, after the statement that queued it.
    async with attacker.transaction():
        await attacker.execute(
            "insert into chimeway.deliveries (channel, recipient, payload, expires_at) values "
            "('email', 'ada', '{}', pg_catalog.now() operator(pg_catalog.+) '1 h'), "
            "('email', 'bob', '{}', null)"
        )
    ids = [row[0] for row in await connection.fetch("select id from chimeway.deliveries")]
    for call in CALLS:
        await attacker.execute(call.replace("$report", REPORT).replace("$id", f"'{ids[0]}'"))

    assert await connection.fetch("select * from evil.taken") == []
    assert len(ids) == 2
    assert (
        await connection.fetchval(
            "select count(*) from chimeway.deliveries where status = 'pending'"
        )
        < 2
    )
    await connection.execute("drop schema evil cascade")


@pytest.mark.parametrize("careless", CARELESS.values(), ids=[*CARELESS])
async def test_a_careless_function_would_have_been_taken(
    attacker: engine.Connection, connection: engine.Connection, careless: str
) -> None:
    await connection.execute(careless)
    await connection.execute("grant execute on function chimeway.careless to public")

    await attacker.execute("select chimeway.careless('x')")

    assert await connection.fetchval("select count(*) from evil.taken") > 0
    await connection.execute("drop schema evil cascade")


@pytest.mark.parametrize(
    "statement",
    [
        "create function chimeway.cancel(text) returns text language sql return 'mine'",
        "create function chimeway.now() returns timestamptz language sql return null",
        "create operator chimeway.= (function = texteq, leftarg = text, rightarg = text)",
        "create domain chimeway.text as pg_catalog.text",
        "create table chimeway.deliveries_2 (like chimeway.deliveries)",
        "alter function chimeway.clock() owner to current_user",
        "create or replace function chimeway.clock() returns timestamptz language sql return null",
        "create cast (pg_catalog.text as chimeway.deliveries) with inout",
        "create trigger mine before insert on chimeway.deliveries execute function evil.clock()",
        "alter table chimeway.deliveries owner to current_user",
        "comment on table chimeway.deliveries is 'mine'",
        "create statistics evil.mine on status, channel from chimeway.deliveries",
        "reindex table chimeway.deliveries",
    ],
)
async def test_nobody_adds_to_the_schema_or_changes_what_is_there(
    attacker: engine.Connection, statement: str
) -> None:
    with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.InvalidObjectDefinitionError)):
        await attacker.execute(statement)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("chimeway.floors", "no json"),
        ("chimeway.turn", "'; drop table chimeway.deliveries"),
        ("chimeway.is_expecting", "nonsense"),
        ("chimeway.held_run", "-1"),
        ("chimeway.held_name", "d1"),
        ("chimeway.notify", "off"),
        ("synchronous_commit", "off"),
        ("session_authorization", "chimeway_owner"),
        ("default_transaction_isolation", "serializable"),
        ("DateStyle", "SQL, DMY"),
        ("IntervalStyle", "sql_standard"),
        ("TimeZone", "Pacific/Kiritimati"),
        ("standard_conforming_strings", "off"),
        ("bytea_output", "escape"),
        ("extra_float_digits", "-15"),
        ("lc_messages", "C"),
        ("transform_null_equals", "on"),
        ("array_nulls", "off"),
        ("client_encoding", "LATIN1"),
        ("row_security", "off"),
    ],
)
async def test_settings_of_a_producers_session_change_nothing_for_others(
    dsn: str, connection: engine.Connection, name: str, value: str
) -> None:
    await engine.configure(connection)
    async with logins.session(dsn, "chimeway_producer") as producer:
        with suppress(asyncpg.InsufficientPrivilegeError, asyncpg.DataError):
            await producer.execute("select set_config($1, $2, false)", name, value)
        await engine.insert(producer)

    (delivery,) = await engine.claim(connection)
    verdict = await engine.record(connection, delivery)

    assert verdict.status == "succeeded"
    await engine.check_invariants(connection)
