create or replace function chimeway.forget_daemons(p_daemon_id bigint, p_silent_for interval)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  delete from chimeway.daemons as d
  where d.id = p_daemon_id or d.heartbeat_at < chimeway.clock() - p_silent_for;
end
$$;

comment on function chimeway.forget_daemons(bigint, interval) is
  'Removes a daemon that leaves (null: none) and those not heard of for p_silent_for.';

revoke all on function chimeway.forget_daemons(bigint, interval) from public;
