create or replace function chimeway.stats(count_up_to integer default 100000)
returns table (
  channel text,
  adapter text,
  served_by bigint,
  paused_at timestamptz,
  pause_reason text,
  due bigint,
  scheduled bigint,
  held bigint,
  in_flight bigint,
  oldest_due_age interval,
  succeeded bigint,
  suppressed bigint,
  cancelled bigint,
  limited_by text,
  limited_until timestamptz,
  limited_why text
)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
#variable_conflict use_column
declare
  v_now constant timestamptz := chimeway.clock();
begin
  return query
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
  ),
  flying as (
    select d.channel, count(*) as count
    from chimeway.claims as k
    cross join lateral unnest(k.delivery_ids) as t (id)
    cross join lateral (
      -- Looked up one by one: offset 0 keeps the planner from joining the whole table.
      select d.channel from chimeway.deliveries as d
      where d.id = t.id and d.claim_id = k.id
      offset 0
    ) as d
    group by d.channel
  ),
  ended as (
    select t.channel, t.status, sum(t.count)::bigint as count
    from chimeway.tallies as t
    group by t.channel, t.status
  ),
  names as (
    select c.name from chimeway.channels as c
    union select w.channel from waiting as w
    union select e.channel from ended as e
  )
  select n.name, c.adapter,
    (select count(*) from chimeway.daemons as m
      where n.name = any (m.channels) and m.heartbeat_at > v_now - interval '30 seconds'),
    c.paused_at, c.pause_reason,
    queue.due, queue.scheduled, queue.held,
    coalesce((select f.count from flying as f where f.channel = n.name), 0),
    v_now - queue.oldest_at,
    coalesce((select e.count from ended as e where e.channel = n.name and e.status = 'succeeded'), 0),
    coalesce((select e.count from ended as e where e.channel = n.name and e.status = 'suppressed'), 0),
    coalesce((select e.count from ended as e where e.channel = n.name and e.status = 'cancelled'), 0),
    limits.limited_by, limits.until, limits.why
  from names as n
  left join chimeway.channels as c on c.name = n.name
  cross join lateral chimeway.queue_stats(n.name, v_now, count_up_to) as queue
  left join lateral chimeway.what_limits(n.name, v_now) as limits on true
  order by n.name;
end
$$;

comment on function chimeway.stats(integer) is
  'One row a channel: who serves it, what waits (due, scheduled, held), what is in flight, the age '
  'of the oldest that is due, and how many ended how; and what keeps it from calling now (a rate, an open breaker), until when and why. Queues are counted up to count_up_to rows, so '
  'that a backlog of millions costs no more than that; a count that reached it means "or more".';

revoke all on function chimeway.stats(integer) from public;
