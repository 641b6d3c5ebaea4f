create or replace function chimeway.open_breakers(p_channels text[])
returns table (
  channel text,
  opened_at timestamptz,
  opened_by text,
  reason text,
  retry_at timestamptz,
  failed_probes integer
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select b.channel, b.opened_at, b.opened_by, b.reason, b.retry_at, b.failed_probes
  from chimeway.breakers as b
  where b.channel = any (p_channels)
$$;

comment on function chimeway.open_breakers(text[]) is
  'Those of the channels whose breaker is open or half-open, and why.';

revoke all on function chimeway.open_breakers(text[]) from public;
