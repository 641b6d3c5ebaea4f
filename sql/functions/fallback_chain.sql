create or replace function chimeway.fallback_chain(p_delivery_id uuid)
returns table (delivery_id uuid, channel text, distance integer)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  with recursive before as (
    select f.origin_id, 1 as distance from chimeway.fallbacks as f
    where f.delivery_id = p_delivery_id
    union all
    select f.origin_id, b.distance + 1
    from before as b
    join chimeway.fallbacks as f on f.delivery_id = b.origin_id
  ),
  after as (
    select f.delivery_id, 1 as distance from chimeway.fallbacks as f
    where f.origin_id = p_delivery_id
    union all
    select f.delivery_id, a.distance + 1
    from after as a
    join chimeway.fallbacks as f on f.origin_id = a.delivery_id
  )
  select d.id, d.channel, c.distance
  from (
    select b.origin_id as id, -b.distance as distance from before as b
    union all
    select p_delivery_id, 0
    union all
    select a.delivery_id, a.distance from after as a
  ) as c
  cross join lateral (
    -- Looked up one by one: offset 0 keeps the planner from joining the whole table.
    select d.id, d.channel from chimeway.deliveries as d where d.id = c.id offset 0
  ) as d
$$;

comment on function chimeway.fallback_chain(uuid) is
  'The deliveries that one came from (distance below 0) or led to (above), itself among them.';

revoke all on function chimeway.fallback_chain(uuid) from public;
