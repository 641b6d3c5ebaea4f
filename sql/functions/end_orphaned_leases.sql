create or replace function chimeway.end_orphaned_leases(
  p_daemon_id bigint,
  p_name text,
  p_silent_for interval
)
returns table (holds_name boolean, ended_count integer)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now constant timestamptz := chimeway.clock();
  v_runs constant integer := hashtext('chimeway.runs');
  v_names constant integer := hashtext('chimeway.daemons');
begin
  -- A lock of the session is gone the moment that its process is, however that ended. Each run has
  -- its own; that of the name only tells whether two runs share it.
  if current_setting('chimeway.held_run', true) is distinct from p_daemon_id::text
      and pg_try_advisory_lock(v_runs, hashint8(p_daemon_id)) then
    perform set_config('chimeway.held_run', p_daemon_id::text, false);
  end if;
  holds_name := current_setting('chimeway.held_name', true) is not distinct from p_name;
  if not holds_name and pg_try_advisory_lock(v_names, hashtext(p_name)) then
    perform set_config('chimeway.held_name', p_name, false);
    holds_name := true;
  end if;

  with others as materialized (
    select distinct k.daemon_id, k.daemon_name
    from chimeway.claims as k
    where k.daemon_id <> p_daemon_id and k.expires_at > v_now
  ),
  orphaned as materialized (
    select k.id
    from chimeway.claims as k
    join others as o on o.daemon_id = k.daemon_id
    where case
      -- We are the next run of that daemon.
      when o.daemon_name = p_name and holds_name then true
      -- One that only lost its sessions beats again soon. After a start of the server nobody did.
      when pg_postmaster_start_time() between v_now - p_silent_for and v_now then false
      -- Nor after a failover: the list of daemons is empty there, and the server as old as ever.
      when not exists (
        select from chimeway.daemons as d where d.started_at <= v_now - p_silent_for) then false
      else not exists (
        select from chimeway.daemons as d
        where d.id = o.daemon_id and d.heartbeat_at > v_now - p_silent_for) end
      and pg_try_advisory_xact_lock(v_runs, hashint8(o.daemon_id))
    order by k.id
    for update of k skip locked
  )
  update chimeway.claims as k
  set expires_at = v_now
  from orphaned as o
  where k.id = o.id;
  get diagnostics ended_count = row_count;
  return next;
end
$$;

comment on function chimeway.end_orphaned_leases(bigint, text, interval) is
  'Ends the leases of runs whose session is gone, so that rescue need not wait for them: earlier '
  'ones with our name at once, others when they were silent for p_silent_for. holds_name false: '
  'another live session has our name. '
  'Locks claims (skipping locked ones).';

revoke all on function chimeway.end_orphaned_leases(bigint, text, interval) from public;
