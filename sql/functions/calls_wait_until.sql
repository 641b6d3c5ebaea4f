create or replace function chimeway.calls_wait_until(p_channel text)
returns timestamptz
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  -- A claim for each single call of a quick rate would be dear: what becomes free within 50 ms is
  -- claimed together.
  select max(w.until)
  from (
    select chimeway.calls_free_at(r, chimeway.clock(),
      greatest(ceil(0.05 / extract(epoch from r.gap)), 1)::integer) as until
    from chimeway.rates as r
    where r.channel = p_channel
    union all
    select case when chimeway.is_probing(b) then 'infinity' else b.retry_at end
    from chimeway.breakers as b
    where b.channel = p_channel
  ) as w
  where w.until > chimeway.clock()
$$;

comment on function chimeway.calls_wait_until(text) is
  'Until when a channel''s rate or breaker keeps its deliveries waiting; null: neither does; '
  'infinity: until a probe ends, which rings.';

revoke all on function chimeway.calls_wait_until(text) from public;
