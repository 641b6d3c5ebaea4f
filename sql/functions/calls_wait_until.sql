create or replace function chimeway.calls_wait_until(p_channel text)
returns timestamptz
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  -- A claim for each single call of a quick rate would be dear: what becomes free within 50 ms is
  -- claimed together. And what became free since the last claim is no reason to sleep on: a claim
  -- that found nothing free left deliveries behind for which nobody rings.
  select greatest(max(w.until), case when count(*) > 0 then chimeway.clock() + interval '50 ms' end)
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
$$;

comment on function chimeway.calls_wait_until(text) is
  'Until when a channel''s rate or breaker keeps its deliveries waiting, 50 ms at the least; null: it '
  'has neither; infinity: until a probe ends, which rings.';

revoke all on function chimeway.calls_wait_until(text) from public;
