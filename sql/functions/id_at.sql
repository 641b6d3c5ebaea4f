create or replace function chimeway.id_at(p_moment timestamptz)
returns uuid
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select rpad(
    lpad(to_hex(greatest(extract(epoch from p_moment) * 1000, 0)::bigint), 12, '0'), 32, '0')::uuid
$$;

comment on function chimeway.id_at(timestamptz) is
  'The smallest id that a delivery inserted at this moment could have.';

revoke all on function chimeway.id_at(timestamptz) from public;
