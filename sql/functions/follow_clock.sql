create or replace function chimeway.follow_clock(p_daemon_id bigint, p_now timestamptz)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
declare
  -- Clocks are corrected by seconds all the time: that delays nothing for longer than it matters.
  c_step constant interval := '10 seconds';
  v_is_known constant boolean := exists (select from chimeway.daemons as d where d.id = p_daemon_id);
  -- At least so far: whoever beat then may have ended long before the clock went back.
  v_back constant interval := greatest(interval '0', (
    select max(d.heartbeat_at) - p_now
    from chimeway.daemons as d
    where d.id = p_daemon_id or not v_is_known));
  v_until constant timestamptz := clock_timestamp() + interval '2 seconds';
  v_last record;
  v_count integer := 0;
begin
  if v_back < c_step and v_is_known then
    return 0;
  end if;
  -- A daemon that begins, or was forgotten in a crash, may be the only one: what was written last?
  if v_back < c_step and not exists (
      select from chimeway.delivery_attempts as a where a.finished_at >= p_now + c_step
      union all
      select from chimeway.breakers as b where b.opened_at >= p_now + c_step) then
    return 0;
  end if;
  if not pg_try_advisory_xact_lock(hashtext('chimeway.follow_clock')) then
    return 0;
  end if;
  -- Whoever beats next must not find the same step again.
  update chimeway.daemons as d set heartbeat_at = p_now where d.heartbeat_at > p_now;

  -- What is scheduled stands in the queue among what we dated ourselves, and a heartbeat must be heard
  -- in time: what a huge queue leaves over is late by the step.
  select '' as channel, (-32768)::smallint as priority, '-infinity'::timestamptz as due_at,
    0::bigint as position, 0 as moved
  into v_last;
  loop
    with page as materialized (
      select j.ctid as row_id, j.channel, j.priority, j.due_at, j.position
      from chimeway.jobs as j
      where (j.channel, j.priority, j.due_at, j.position)
          > (v_last.channel, v_last.priority, v_last.due_at, v_last.position)
        and j.due_at > p_now
      order by j.channel, j.priority, j.due_at, j.position
      limit 10000
    ),
    waiting as materialized (
      -- Nothing waits longer from now than it was to wait when it was dated. What was dated since
      -- the last heartbeat, by the clock as it is now, was dated after it went back.
      select j.ctid as row_id, d.id, greatest(p_now, least(
        d.next_attempt_at - case when d.updated_at between p_now - interval '15 seconds' and p_now
          then interval '0' else v_back end,
        p_now + (d.next_attempt_at - d.updated_at))) as next_attempt_at
      from page as p
      join chimeway.jobs as j on j.ctid = p.row_id
      join chimeway.deliveries as d on d.id = j.delivery_id
      -- A schedule means the clock itself; that of a replay is the moment of the replay.
      where d.next_attempt_at > p_now and (d.next_attempt_at <> d.scheduled_at or d.series > 1)
      for update of j, d skip locked
    ),
    moved as (
      update chimeway.jobs as j
      set due_at = case when j.due_at < 'infinity' then w.next_attempt_at else j.due_at end
      from waiting as w
      where j.ctid = w.row_id
      returning w.id, w.next_attempt_at
    ),
    dated as (
      update chimeway.deliveries as d
      set next_attempt_at = m.next_attempt_at, updated_at = least(d.updated_at, p_now)
      from moved as m
      where d.id = m.id
    )
    select p.channel, p.priority, p.due_at, p.position, (select count(*) from moved) as moved
    into v_last
    from page as p
    order by p.channel desc, p.priority desc, p.due_at desc, p.position desc
    limit 1;
    exit when not found;
    v_count := v_count + v_last.moved;
    exit when clock_timestamp() > v_until;
  end loop;

  update chimeway.breakers as b
  set retry_at = greatest(p_now, least(b.retry_at - v_back, p_now + b.longest_wait)),
    opened_at = least(b.opened_at, p_now)
  where b.retry_at > p_now;
  return v_count;
end
$$;

comment on function chimeway.follow_clock(bigint, timestamptz) is
  'When the clock went back since this daemon''s last heartbeat (that of any, and behind what is '
  'written, where it had none): retries and what else chimeway dated itself are due as much earlier, so that they wait '
  'as long as they should, and so do breakers. Returns how many deliveries. What was inserted to go '
  'out at once needs no clock, and a schedule means the clock itself. Locks jobs, then deliveries, '
  'then breakers.';

revoke all on function chimeway.follow_clock(bigint, timestamptz) from public;
