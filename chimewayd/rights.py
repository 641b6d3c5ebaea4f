"""Roles, and the rights that each of them has.

    chimeway_owner      owns the schema; nobody logs in as it
    chimeway_daemon     the daemon's functions          grant chimeway_daemon to <login>
    chimeway_producer   inserts, and reads the state
    chimeway_operator   looks, and steps in
    chimeway_reader     looks

Roles belong to the whole cluster, rights to a database: each database grants its own objects to
the same five roles. Where whoever migrates may not create roles, and nobody did before, there is
nothing to grant to, and the owner alone has rights.

What each role may is said by `chimeway.rights()`; here it is compared with what the catalog says,
and made true. Grants to other roles are nobody's business but their giver's.
"""

import asyncpg

OWNER_ROLE = "chimeway_owner"
ROLES = (
    OWNER_ROLE,
    "chimeway_daemon",
    "chimeway_producer",
    "chimeway_operator",
    "chimeway_reader",
)

OBJECTS = """
select pg_catalog.format('%s %I.%I',
    case c.relkind when 'S' then 'sequence' when 'v' then 'view' else 'table' end,
    'chimeway', c.relname)
  from pg_catalog.pg_class as c
  where c.relnamespace = pg_catalog.to_regnamespace('chimeway')
    and c.relkind in ('r', 'p', 'v', 'S')
    -- The sequence of an identity column goes with its table.
    and not exists (
      select from pg_catalog.pg_depend as d
      where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = c.oid
        and d.deptype = 'i')
  union all
  select 'routine ' || p.oid::pg_catalog.regprocedure
  from pg_catalog.pg_proc as p
  where p.pronamespace = pg_catalog.to_regnamespace('chimeway')
"""

OWNER = """
select n.nspowner::pg_catalog.regrole::text as name, exists (
    -- What `alter schema … owner` asks for.
    select from pg_catalog.pg_roles as r
    where r.rolname = 'chimeway_owner' and r.oid <> n.nspowner
      and pg_catalog.pg_has_role(r.oid, role.needed)
      and pg_catalog.pg_has_role(n.nspowner, role.needed)
      and pg_catalog.has_database_privilege(pg_catalog.current_database(), 'create')
  ) as is_ours_to_give
  from pg_catalog.pg_namespace as n
  cross join (values (case
    when pg_catalog.current_setting('server_version_num')::integer >= 160000 then 'set'
    else 'member' end)) as role (needed)
  where n.nspname = 'chimeway'
"""

PREPARE = f"""
do $$
declare
  v_role text;
  v_owner text;
  v_is_there boolean;
  v_object text;
  v_right constant text := case
    when pg_catalog.current_setting('server_version_num')::integer >= 160000 then 'set'
    else 'member' end;
begin
  foreach v_role in array array['chimeway_owner', 'chimeway_daemon', 'chimeway_producer',
      'chimeway_operator', 'chimeway_reader'] loop
    continue when exists (select from pg_catalog.pg_roles where rolname = v_role);
    begin
      execute pg_catalog.format('create role %I nologin', v_role);
    exception
      when insufficient_privilege then null; -- what is missing is told in the end
      when duplicate_object or unique_violation then null; -- another database's migrate
    end;
  end loop;

  -- Functions run as their owner: better as one who can do nothing else.
  v_owner := (
    select pg_catalog.pg_get_userbyid(nspowner) from pg_catalog.pg_namespace
    where nspname = 'chimeway');
  v_is_there := exists (
    select from pg_catalog.pg_roles where rolname = 'chimeway_owner');
  if v_is_there and not (
      select rolsuper from pg_catalog.pg_roles where rolname = current_user) then
    begin
      grant chimeway_owner to current_user;
    exception when insufficient_privilege then null; -- somebody else's role
    end;
  end if;
  if v_is_there and pg_catalog.pg_has_role(current_user, 'chimeway_owner', v_right) then
    if (select o.is_ours_to_give from ({OWNER}) as o) then
      alter schema chimeway owner to chimeway_owner;
      for v_object in {OBJECTS} loop
        execute pg_catalog.format('alter %s owner to chimeway_owner', v_object);
      end loop;
    end if;
    v_owner := coalesce((select o.name from ({OWNER}) as o), 'chimeway_owner');
  end if;
  if v_owner is null or not pg_catalog.pg_has_role(current_user, v_owner, v_right) then
    v_owner := current_user;
  end if;
  if pg_catalog.to_regnamespace('chimeway') is null then
    execute pg_catalog.format('create schema chimeway authorization %I', v_owner);
  end if;
  perform pg_catalog.set_config('role', v_owner, true);
end
$$;
"""  # noqa: S608 - our own text
"""First of all: makes the roles, if that may be, and the schema, or hands that over to
chimeway_owner; then goes on as its owner."""

DIFFERENCES = """
  with roles as (
    select r.oid, r.rolname, pg_catalog.replace(r.rolname, 'chimeway_', '') as short
    from pg_catalog.pg_roles as r
    where r.rolname in
      ('chimeway_daemon', 'chimeway_producer', 'chimeway_operator', 'chimeway_reader')
  ),
  wanted as (
    select r.oid as grantee, 'schema chimeway' as object, 'USAGE' as privilege, null as column_name
    from roles as r
    union all
    select r.oid, 'function ' || p.oid::pg_catalog.regprocedure, 'EXECUTE', null
    from chimeway.rights() as t
    join roles as r on r.short = any (t.roles)
    join pg_catalog.pg_proc as p
      on p.proname = t.object and p.pronamespace = 'chimeway'::pg_catalog.regnamespace
    where t.privilege = 'execute'
    union all
    select r.oid, 'table chimeway.' || t.object, pg_catalog.upper(t.privilege), c.name
    from chimeway.rights() as t
    join roles as r on r.short = any (t.roles)
    cross join lateral pg_catalog.unnest(coalesce(t.columns, array[null])) as c (name)
    where t.privilege <> 'execute'
  ),
  granted as (
    select a.grantee, 'schema chimeway' as object, a.privilege_type as privilege,
      null as column_name
    from pg_catalog.pg_namespace as n
    cross join lateral pg_catalog.aclexplode(n.nspacl) as a
    where n.nspname = 'chimeway'
    union all
    select a.grantee, 'function ' || p.oid::pg_catalog.regprocedure, a.privilege_type, null
    from pg_catalog.pg_proc as p
    cross join lateral pg_catalog.aclexplode(
      coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) as a
    where p.pronamespace = 'chimeway'::pg_catalog.regnamespace
    union all
    select a.grantee, case c.relkind when 'S' then 'sequence chimeway.' else 'table chimeway.' end
      || pg_catalog.quote_ident(c.relname), a.privilege_type, null
    from pg_catalog.pg_class as c
    cross join lateral pg_catalog.aclexplode(c.relacl) as a
    where c.relnamespace = 'chimeway'::pg_catalog.regnamespace
    union all
    select a.grantee, 'table chimeway.' || pg_catalog.quote_ident(c.relname), a.privilege_type,
      t.attname
    from pg_catalog.pg_class as c
    join pg_catalog.pg_attribute as t on t.attrelid = c.oid and not t.attisdropped
    cross join lateral pg_catalog.aclexplode(t.attacl) as a
    where c.relnamespace = 'chimeway'::pg_catalog.regnamespace
  ),
  different as (
    (select true as is_missing, w.* from wanted as w
      except select true, g.* from granted as g)
    union all
    (select false, g.* from granted as g
      where g.grantee = 0 or g.grantee in (select r.oid from roles as r)
      except select false, w.* from wanted as w)
  )
  select d.is_missing, d.object, d.privilege, d.column_name,
    coalesce(r.rolname::text, 'public') as role
  from different as d
  left join roles as r on r.oid = d.grantee
"""
"""What rights() says and the catalog does not, and the other way round, of our roles and PUBLIC."""

GRANT = f"""
do $$
declare
  v_right record;
begin
  -- Twice: to revoke a right to a table is to revoke it for the columns, too.
  for v_pass in 1 .. 2 loop
    for v_right in {DIFFERENCES} loop
      execute pg_catalog.format(case when v_right.is_missing
          then 'grant %s%s on %s to %s' else 'revoke %s%s on %s from %s' end,
        v_right.privilege, ' (' || pg_catalog.quote_ident(v_right.column_name) || ')',
        v_right.object, v_right.role);
    end loop;
  end loop;
end
$$;
"""

MISSING_ROLES = """
select r.name from pg_catalog.unnest($1::text[]) with ordinality as r (name, th)
where not exists (select from pg_catalog.pg_roles as p where p.rolname = r.name)
order by r.th
"""


async def differ(connection: asyncpg.Connection) -> bool:
    """Whether a role of ours, or PUBLIC, has a right too many or too few; needs the functions."""
    return bool(await connection.fetch(DIFFERENCES))


async def differences(connection: asyncpg.Connection) -> list[str]:
    """Say which rights are too few or too many; needs the functions."""
    return sorted(
        f"{row['role']} {'lacks' if row['is_missing'] else 'has'} {row['privilege'].lower()} of "
        f"{row['object']}" + (f", column {row['column_name']}" if row["column_name"] else "")
        for row in await connection.fetch(DIFFERENCES)
    )


async def missing_roles(connection: asyncpg.Connection) -> list[str]:
    """Return those of ROLES that the cluster does not have."""
    return [row[0] for row in await connection.fetch(MISSING_ROLES, list(ROLES))]


async def owner(connection: asyncpg.Connection) -> tuple[str | None, bool]:
    """Return who owns the schema, and whether we can make it chimeway_owner's, which it is not."""
    row = await connection.fetchrow(OWNER)
    return (None, False) if row is None else (row[0], row[1])
