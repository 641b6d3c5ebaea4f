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
  with recursive served as materialized (
    select c.name as channel, chimeway.calls_wait_until(c.name) as free_at
    from chimeway.channels as c
    where c.name = any (p_channels) and c.paused_at is null
  ),
  known as materialized (
    -- Where this session's claims ended: before it a held snapshot may keep any number of dead
    -- rows, and what a late commit put there is for the next full look.
    select f.channel, f.priority, f.position, f.due_at
    from jsonb_to_recordset(
      coalesce(nullif(current_setting('chimeway.floors', true), ''), '{"levels": []}')::jsonb
        -> 'levels') as f
      (channel text, priority smallint, position bigint, due_at timestamptz)
    join served as s on s.channel = f.channel
  ),
  gaps as materialized (
    select k.channel, k.priority as above,
      lead(k.priority) over (partition by k.channel order by k.priority) as below
    from known as k
    union all
    select s.channel, null, (select min(k.priority) from known as k where k.channel = s.channel)
    from served as s
  ),
  found as (
    select g.channel, g.below, first.priority
    from gaps as g
    cross join lateral (
      select j.priority from chimeway.jobs as j
      where j.channel = g.channel
        and j.priority > coalesce(g.above, -32768) and j.priority < coalesce(g.below, 32767)
      order by j.priority limit 1
    ) as first
    union all
    select f.channel, f.below, further.priority
    from found as f
    cross join lateral (
      select j.priority from chimeway.jobs as j
      where j.channel = f.channel
        and j.priority > f.priority and j.priority < coalesce(f.below, 32767)
      order by j.priority limit 1
    ) as further
  ),
  levels as materialized (
    select k.channel, k.priority, k.position, k.due_at from known as k
    union all
    select f.channel, f.priority, null, null from found as f
  ),
  heads as (
    select l.channel, head.due_at
    from levels as l
    cross join lateral (
      (select j.due_at from chimeway.jobs as j
        where j.channel = l.channel and j.priority = l.priority
          and j.due_at = '-infinity' and j.position > coalesce(l.position, 0)
        order by j.position limit 1)
      union all
      (select j.due_at from chimeway.jobs as j
        where j.channel = l.channel and j.priority = l.priority
          and j.due_at > '-infinity' and j.due_at >= coalesce(l.due_at, '-infinity')
          and not j.is_suspect
        order by j.due_at limit 1)
    ) as head
    union all
    select s.channel, suspect.due_at
    from served as s
    cross join lateral (
      select j.due_at from chimeway.jobs as j
      where p_takes_suspect and j.is_suspect and j.channel = s.channel
      order by j.due_at limit 1
    ) as suspect
  )
  select min(greatest(greatest(h.due_at, s.free_at) - chimeway.clock(), interval '0')),
    -- Unknown after a reconnection: then look again soon.
    coalesce(nullif(current_setting('chimeway.is_expecting', true), '')::boolean, true)
  from heads as h
  join served as s on s.channel = h.channel
  where isfinite(greatest(h.due_at, s.free_at))
$$;

comment on function chimeway.next_due(text[], boolean) is
  'How long until the next job of these channels is due (null: none is scheduled; what is due at '
  'once, or held, does not count, unless a rate or a breaker keeps it waiting: then, when that '
  'ends), looking from where the session''s last claim ended; and whether this session''s last '
  'arming of the doorbell came upon a transaction that may have queued jobs and will not ring, or '
  'was no full look.';

revoke all on function chimeway.next_due(text[], boolean) from public;
