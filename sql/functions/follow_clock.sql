create or replace function chimeway.follow_clock(p_daemon_id bigint, p_now timestamptz)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_back constant interval := (
    select d.heartbeat_at - p_now from chimeway.daemons as d where d.id = p_daemon_id);
  v_count integer;
begin
  -- Clocks are corrected by seconds all the time: that delays nothing for longer than it matters.
  if v_back is null or v_back < interval '10 seconds'
      or not pg_try_advisory_xact_lock(hashtext('chimeway.follow_clock')) then
    return 0;
  end if;
  -- Whoever beats next must not find the same step again.
  update chimeway.daemons as d set heartbeat_at = p_now where d.heartbeat_at > p_now;

  -- So rare that it may look at the whole queue: what is scheduled stands there among the retries.
  with waiting as materialized (
    select d.id, greatest(j.due_at - v_back, p_now) as due_at
    from chimeway.jobs as j
    join chimeway.deliveries as d on d.id = j.delivery_id and d.status = 'failed'
    where isfinite(j.due_at) and j.due_at > p_now
    for update of j, d skip locked
  ),
  moved as (
    update chimeway.jobs as j set due_at = w.due_at from waiting as w where j.delivery_id = w.id
  )
  update chimeway.deliveries as d
  set next_attempt_at = w.due_at
  from waiting as w
  where d.id = w.id;
  get diagnostics v_count = row_count;
  return v_count;
end
$$;

comment on function chimeway.follow_clock(bigint, timestamptz) is
  'When the clock went back since this daemon''s last heartbeat: retries are due as much earlier, so '
  'that they wait as long as they should. Returns how many. What was inserted to go out at once '
  'needs no clock, and a schedule means the clock itself. Locks jobs, then deliveries.';

revoke all on function chimeway.follow_clock(bigint, timestamptz) from public;
