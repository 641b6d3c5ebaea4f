create or replace function chimeway.register_daemon(
  p_name text,
  p_version text,
  p_channels text[]
)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id constant bigint := nextval('chimeway.daemon_ids');
  v_now constant timestamptz := chimeway.clock();
begin
  perform chimeway.follow_clock(v_id, v_now);
  insert into chimeway.daemons (id, name, version, channels, started_at, heartbeat_at)
  values (v_id, p_name, p_version, p_channels, v_now, v_now);
  return v_id;
end
$$;

comment on function chimeway.register_daemon(text, text, text[]) is
  'Announces a run of a daemon process and the channels it serves; returns its id, never reused.';

revoke all on function chimeway.register_daemon(text, text, text[]) from public;
