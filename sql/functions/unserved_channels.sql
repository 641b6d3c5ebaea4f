create or replace function chimeway.unserved_channels()
returns setof text
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
set enable_sort = off
set enable_bitmapscan = off
as $$
  with recursive served as materialized (
    select distinct s.channel
    from chimeway.daemons as m
    cross join lateral unnest(m.channels) as s (channel)
    where m.heartbeat_at > chimeway.clock() - interval '30 seconds'
  ),
  -- Only what lies between the served channels is looked at: their own queues may be full of dead
  -- rows that a held snapshot keeps.
  gaps as materialized (
    select s.channel as above, lead(s.channel) over (order by s.channel) as below from served as s
    union all
    select '', (select min(s.channel) from served as s)
  ),
  found as (
    select g.below, first.channel
    from gaps as g
    cross join lateral (
      (select j.channel from chimeway.jobs as j
        where j.channel > g.above and j.channel < g.below
        order by j.channel limit 1)
      union all
      (select j.channel from chimeway.jobs as j
        where j.channel > g.above and g.below is null
        order by j.channel limit 1)
    ) as first
    union all
    select f.below, further.channel
    from found as f
    cross join lateral (
      (select j.channel from chimeway.jobs as j
        where j.channel > f.channel and j.channel < f.below
        order by j.channel limit 1)
      union all
      (select j.channel from chimeway.jobs as j
        where j.channel > f.channel and f.below is null
        order by j.channel limit 1)
    ) as further
  )
  select f.channel from found as f order by f.channel
$$;

comment on function chimeway.unserved_channels() is
  'Channels on which something waits and that no living daemon serves.';

revoke all on function chimeway.unserved_channels() from public;
