create or replace function chimeway.calls_wait_until(p_channel text)
returns timestamptz
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  -- A claim for each single call of a quick rate would be dear: what becomes free within 50 ms is
  -- claimed together. And what became free since the last claim is no reason to sleep on: a claim
  -- that found nothing free left deliveries behind for which nobody rings. No longer than it takes to
  -- have the whole burst free, or a small one would be all that there is in 50 ms.
  select greatest(max(w.until), chimeway.clock() + min(w.pause))
  from (
    select chimeway.calls_free_at(r, chimeway.clock(),
      greatest(ceil(0.05 / extract(epoch from r.gap)), 1)::integer) as until,
      least(r.burst * r.gap, interval '50 ms') as pause
    from chimeway.rates as r
    where r.channel = p_channel
    union all
    select case when chimeway.is_probing(b) then 'infinity' else b.retry_at end,
      interval '50 ms'
    from chimeway.breakers as b
    where b.channel = p_channel
  ) as w
$$;

comment on function chimeway.calls_wait_until(text) is
  'Until when a channel''s rate or breaker keeps its deliveries waiting, 50 ms at the least, or as '
  'long as it takes to have the whole burst free; null: it has neither; infinity: until a probe ends, '
  'which rings.';

revoke all on function chimeway.calls_wait_until(text) from public;
