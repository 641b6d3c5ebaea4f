create or replace function chimeway.serving_daemons(p_channels text[])
returns table (channel text, daemons integer)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select s.channel, count(*)::integer
  from chimeway.daemons as m
  cross join lateral (select distinct u.channel from unnest(m.channels) as u (channel)) as s
  where m.heartbeat_at > chimeway.clock() - interval '30 seconds' and s.channel = any (p_channels)
  group by s.channel
$$;

comment on function chimeway.serving_daemons(text[]) is
  'How many living daemons serve each of the channels: those heard of within 30 s.';

revoke all on function chimeway.serving_daemons(text[]) from public;
