create or replace function chimeway.moment(p_moment timestamptz)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select to_char(p_moment at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC'
$$;

comment on function chimeway.moment(timestamptz) is 'A moment for people, in UTC, to the second.';

revoke all on function chimeway.moment(timestamptz) from public;
