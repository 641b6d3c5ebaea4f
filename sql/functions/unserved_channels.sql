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
  with recursive waiting as (
    (select j.channel from chimeway.jobs as j order by j.channel limit 1)
    union all
    select further.channel
    from waiting as w
    cross join lateral (
      select j.channel from chimeway.jobs as j
      where j.channel > w.channel
      order by j.channel limit 1
    ) as further
  )
  select w.channel from waiting as w
  where not exists (
    select from chimeway.daemons as m
    where w.channel = any (m.channels)
      and m.heartbeat_at > chimeway.clock() - interval '30 seconds')
  order by w.channel
$$;

comment on function chimeway.unserved_channels() is
  'Channels on which something waits and that no living daemon serves.';

revoke all on function chimeway.unserved_channels() from public;
