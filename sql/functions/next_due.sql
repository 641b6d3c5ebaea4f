create or replace function chimeway.next_due(p_channels text[], p_takes_suspect boolean)
returns table (due_in interval, is_expecting boolean)
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
set enable_sort = off
set enable_bitmapscan = off
as $$
  with recursive levels as (
    select c.name as channel, first.priority, chimeway.calls_wait_until(c.name) as free_at
    from chimeway.channels as c
    cross join lateral (
      select j.priority from chimeway.jobs as j
      where j.channel = c.name
      order by j.priority limit 1
    ) as first
    where c.name = any (p_channels) and c.paused_at is null
    union all
    select l.channel, further.priority, l.free_at
    from levels as l
    cross join lateral (
      select j.priority from chimeway.jobs as j
      where j.channel = l.channel and j.priority > l.priority
      order by j.priority limit 1
    ) as further
  )
  select min(greatest(greatest(head.due_at, l.free_at) - chimeway.clock(), interval '0')),
    -- Unknown after a reconnection: then look again soon.
    coalesce(nullif(current_setting('chimeway.is_expecting', true), '')::boolean, true)
  from levels as l
  cross join lateral (
    select j.due_at from chimeway.jobs as j
    where j.channel = l.channel and j.priority = l.priority
      and (p_takes_suspect or not j.is_suspect)
    order by j.due_at limit 1
  ) as head
  where isfinite(greatest(head.due_at, l.free_at))
$$;

comment on function chimeway.next_due(text[], boolean) is
  'How long until the next job of these channels is due (null: none is scheduled; jobs that are due '
  'already, or held, do not count, unless a rate or a breaker keeps them waiting: then, when that ends), and whether this session''s last arming of the doorbell came '
  'upon a transaction that may have queued jobs and will not ring, or was no full look.';

revoke all on function chimeway.next_due(text[], boolean) from public;
