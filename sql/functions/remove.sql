create or replace function chimeway.remove(p_delivery_ids uuid[])
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
declare
  v_done uuid[];
begin
  with locked as materialized (
    select d.id from chimeway.deliveries as d
    where d.id = any (p_delivery_ids) and d.finished_at is not null
    order by d.id
    for update skip locked
  ),
  gone as (
    delete from chimeway.deliveries as d
    using locked as l
    where d.id = l.id
    returning d.id, d.channel, d.status
  ),
  counted as (
    insert into chimeway.tallies (channel, status, count)
    select g.channel, 'pruned ' || g.status, count(*) from gone as g group by g.channel, g.status
  )
  select array_agg(g.id) into v_done from gone as g;
  -- The delivery first: guard_history lets its history go after it.
  delete from chimeway.delivery_attempts as a where a.delivery_id = any (v_done);
  delete from chimeway.delivery_events as e where e.delivery_id = any (v_done);
  delete from chimeway.fallbacks as f where f.origin_id = any (v_done);
  return coalesce(cardinality(v_done), 0);
end
$$;

comment on function chimeway.remove(uuid[]) is
  'Deletes terminal deliveries with their history; the tallies count them still. NC002: '
  'guard_deletion, until their channel''s delete_after has passed. Locks deliveries, skipping '
  'locked ones.';

revoke all on function chimeway.remove(uuid[]) from public;
