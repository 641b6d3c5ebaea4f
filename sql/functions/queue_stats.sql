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
    -- Each kind by itself: what is scheduled must not hide what is due behind it.
    select k.kind, (
        select count(*)
        from (
          select from levels as l
          cross join lateral (
            select from chimeway.jobs as j
            where j.channel = p_channel and j.priority = l.priority
              and j.due_at between k.first and k.last
            limit p_count_up_to
          ) as one
          limit p_count_up_to
        ) as counted_up_to
      ) as number
    from (values
      ('due', '-infinity', p_now),
      ('scheduled', p_now + interval '1 microsecond', '294276-01-01'),
      ('held', 'infinity', 'infinity')
    ) as k (kind, first, last)
  )
  select sum(c.number) filter (where c.kind = 'due')::bigint,
    sum(c.number) filter (where c.kind = 'scheduled')::bigint,
    sum(c.number) filter (where c.kind = 'held')::bigint, (
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
  'What waits on one channel, each kind counted up to p_count_up_to, and since when the oldest is due.';

revoke all on function chimeway.queue_stats(text, timestamptz, integer) from public;
