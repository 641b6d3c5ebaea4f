create or replace function chimeway.queue_stats(
  p_channel text,
  p_now timestamptz,
  p_count_up_to integer
)
returns table (due bigint, scheduled bigint, held bigint, oldest_at timestamptz)
language sql
stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
set enable_sort = off
set enable_bitmapscan = off
as $$
  with recursive levels as (
    (select j.priority from chimeway.jobs as j where j.channel = p_channel
      order by j.priority limit 1)
    union all
    select further.priority
    from levels as l
    cross join lateral (
      select j.priority from chimeway.jobs as j
      where j.channel = p_channel and j.priority > l.priority
      order by j.priority limit 1
    ) as further
  ),
  counted as (
    select count(*) filter (where w.due_at <= p_now) as due,
      count(*) filter (where w.due_at > p_now and w.due_at < 'infinity') as scheduled,
      count(*) filter (where w.due_at = 'infinity') as held
    from (
      select j.due_at from chimeway.jobs as j
      where j.channel = p_channel
      order by j.channel, j.priority, j.due_at
      limit p_count_up_to
    ) as w
  )
  select c.due, c.scheduled, c.held, (
      select min(coalesce(nullif(head.due_at, '-infinity'),
        (select d.scheduled_at from chimeway.deliveries as d where d.id = head.delivery_id)))
      from levels as l
      cross join lateral (
        (select j.due_at, j.delivery_id from chimeway.jobs as j
          where j.channel = p_channel and j.priority = l.priority and j.due_at = '-infinity'
          order by j.position limit 1)
        union all
        (select j.due_at, j.delivery_id from chimeway.jobs as j
          where j.channel = p_channel and j.priority = l.priority
            and j.due_at > '-infinity' and j.due_at <= p_now
          order by j.due_at limit 1)
      ) as head
    )
  from counted as c
$$;

comment on function chimeway.queue_stats(text, timestamptz, integer) is
  'What waits on one channel, counted up to p_count_up_to rows, and since when the oldest is due.';

revoke all on function chimeway.queue_stats(text, timestamptz, integer) from public;
