"""The SQL text of `doctor`: facts about the server, the schema and the queue, none of them changed.

Every fact can be had by any role that may connect, unless its query says otherwise.
"""

from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import asyncpg

from chimewayd.rights import ROLES

SERVER = """
select current_setting('server_version') as version,
  current_setting('server_version_num')::integer as version_number,
  pg_is_in_recovery() or current_setting('transaction_read_only')::boolean as is_read_only,
  current_setting('fsync')::boolean as is_durable, clock_timestamp() as now
"""
RIGHTS = """
select current_user::text as role, has_schema_privilege('chimeway', 'usage') as may_use,
  array(
    select p.oid::regprocedure::text from pg_proc as p
    where p.pronamespace = to_regnamespace('chimeway') and p.proname = any ($1::text[])
      and not has_function_privilege(p.oid, 'execute')
    order by 1) as missing,
  array(
    select r.rolname::text from pg_roles as r
    where r.rolname = any ($2::text[]) and pg_has_role(r.oid, 'member')
    order by 1) as roles
"""
TRIGGERS = """
select c.relname::text, t.tgname::text, t.tgenabled in ('O', 'A')
from pg_trigger as t
join pg_class as c on c.oid = t.tgrelid
where c.relnamespace = to_regnamespace('chimeway') and not t.tgisinternal
"""
CONNECTIONS = """
select current_setting('max_connections')::integer
    - current_setting('superuser_reserved_connections')::integer
    - coalesce(current_setting('reserved_connections', true)::integer, 0) as server_limit,
  (select sum(s.numbackends)::integer from pg_stat_database as s) as server_used,
  (select r.rolconnlimit from pg_roles as r where r.rolname = current_user) as role_limit,
  (select count(*)::integer from pg_stat_activity as a where a.usename = current_user) as role_used,
  d.datconnlimit as database_limit,
  (select s.numbackends from pg_stat_database as s where s.datid = d.oid) as database_used
from pg_database as d
where d.datname = current_database()
"""
VACUUM = """
select current_setting('autovacuum')::boolean and current_setting('track_counts')::boolean as runs,
  array(
    select c.relname::text from pg_class as c
    where c.relnamespace = to_regnamespace('chimeway')
      and 'autovacuum_enabled=false' = any (c.reloptions)
    order by 1) as left_out,
  (select max(age(c.relfrozenxid)) from pg_class as c
    where c.relnamespace = to_regnamespace('chimeway') and c.relkind = 'r') as oldest_xid_age,
  current_setting('autovacuum_freeze_max_age')::bigint as freeze_max_age
"""
BLOAT = """
select s.relname::text, s.n_live_tup, s.n_dead_tup, pg_table_size(s.relid)
from pg_stat_all_tables as s
where s.schemaname = 'chimeway' and s.relname in ('jobs', 'claims', 'deliveries')
order by s.relname
"""
SNAPSHOTS = """
select 'session ' || a.pid || coalesce(' of ' || a.usename, '')
    || coalesce(' (' || nullif(a.application_name, '') || ', ' || a.state || ')', '') as holder,
  now() - a.xact_start as age
from pg_stat_activity as a
where a.pid <> pg_backend_pid() and a.xact_start is not null and a.backend_type = 'client backend'
union all
select 'prepared transaction ' || quote_literal(p.gid), now() - p.prepared
from pg_prepared_xacts as p
order by age desc nulls last
limit 1
"""
QUEUE_USAGE = "select pg_notification_queue_usage()"
STRANDED = "select delivery_id, problem from chimeway.find_stranded($1)"
REPAIR = "select chimeway.repair_stranded($1)"
DAEMONS = """
select d.name, d.version from chimeway.daemons as d
where d.heartbeat_at > now() - interval '30 seconds' order by d.name
"""
RECIPIENTS = """
select distinct a.recipient
from chimeway.recent_attempts(now() - interval '1 day', 200, $1) as a
order by a.recipient
"""
LONG_SECONDS = 60.0
"""What reads whole tables may take so long."""


class Server(NamedTuple):
    version: str
    version_number: int
    is_read_only: bool
    is_durable: bool
    now: datetime


class Rights(NamedTuple):
    role: str
    may_use: bool
    missing: list[str]
    """The daemon's functions that it may not execute."""
    roles: list[str]
    """Those of chimeway that it is a member of."""


class Connections(NamedTuple):
    """Limits and how much of each is used; a limit of -1 is none."""

    server_limit: int
    server_used: int
    role_limit: int
    role_used: int
    database_limit: int
    database_used: int


class Vacuum(NamedTuple):
    runs: bool
    left_out: list[str]
    oldest_xid_age: int | None
    freeze_max_age: int


class Table(NamedTuple):
    name: str
    live_rows: int
    dead_rows: int
    size_bytes: int


class Snapshot(NamedTuple):
    """Who keeps dead rows from being removed, and since when."""

    holder: str
    age: timedelta


class Stranded(NamedTuple):
    delivery_id: UUID
    problem: str


async def server(connection: asyncpg.Connection) -> Server:
    return Server(*(await connection.fetch(SERVER))[0])


async def rights(connection: asyncpg.Connection, functions: list[str]) -> Rights:
    return Rights(*(await connection.fetch(RIGHTS, functions, ROLES))[0])


async def triggers(connection: asyncpg.Connection) -> dict[tuple[str, str], bool]:
    """Return whether each trigger is enabled, by table and name."""
    rows = await connection.fetch(TRIGGERS)
    return {(row[0], row[1]): row[2] for row in rows}


async def connections(connection: asyncpg.Connection) -> Connections:
    return Connections(*(await connection.fetch(CONNECTIONS))[0])


async def vacuum(connection: asyncpg.Connection) -> Vacuum:
    return Vacuum(*(await connection.fetch(VACUUM))[0])


async def tables(connection: asyncpg.Connection) -> list[Table]:
    return [Table(*row) for row in await connection.fetch(BLOAT)]


async def oldest_snapshot(connection: asyncpg.Connection) -> Snapshot | None:
    rows = await connection.fetch(SNAPSHOTS)
    return Snapshot(*rows[0]) if rows else None


async def queue_usage(connection: asyncpg.Connection) -> float:
    share: float = await connection.fetchval(QUEUE_USAGE)
    return share


async def stranded(connection: asyncpg.Connection, limit: int) -> list[Stranded]:
    rows = await connection.fetch(STRANDED, limit, timeout=LONG_SECONDS)
    return [Stranded(*row) for row in rows]


async def repair(connection: asyncpg.Connection, delivery_id: UUID) -> str | None:
    """Repair one delivery and say how; None: nothing is wrong with it any more."""
    done: str | None = await connection.fetchval(REPAIR, delivery_id)
    return done


async def daemons(connection: asyncpg.Connection) -> list[tuple[str, str]]:
    """Return name and version of each daemon that was heard lately."""
    return [(row[0], row[1]) for row in await connection.fetch(DAEMONS)]


async def recent_recipients(connection: asyncpg.Connection, channel: str) -> list[str]:
    """Return recipients to whom a channel's last calls of the day went; an operator may ask."""
    return [row[0] for row in await connection.fetch(RECIPIENTS, channel)]
