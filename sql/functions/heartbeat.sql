create or replace function chimeway.heartbeat(
  p_daemon_id bigint,
  p_name text,
  p_version text,
  p_channels text[],
  p_claim_ids bigint[],
  p_lease interval
)
returns table (lost_claim_id bigint)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
declare
  v_now constant timestamptz := chimeway.clock();
begin
  return query
  with mine as (
    select k.id
    from chimeway.claims as k
    where k.id = any (p_claim_ids) and k.daemon_id = p_daemon_id
    order by k.id
    for update
  ),
  extended as (
    update chimeway.claims as k
    set expires_at = v_now + p_lease
    where k.id in (select m.id from mine as m)
    returning k.id
  )
  select t.id from unnest(p_claim_ids) as t (id)
  where t.id not in (select e.id from extended as e);

  perform chimeway.follow_clock(p_daemon_id, v_now);

  -- The row is gone after a crash of Postgres: the table is unlogged.
  insert into chimeway.daemons as d (id, name, version, channels, started_at, heartbeat_at)
  values (p_daemon_id, p_name, p_version, p_channels, v_now, v_now)
  on conflict (id) do update set heartbeat_at = v_now, channels = p_channels;
end
$$;

comment on function chimeway.heartbeat(bigint, text, text, text[], bigint[], interval) is
  'Says that a daemon lives and extends its leases. Returns those of p_claim_ids that it does not '
  'hold: recorded to the end meanwhile, or lost. Locks claims; where the clock went back, also jobs, '
  'deliveries and breakers.';

revoke all on function
  chimeway.heartbeat(bigint, text, text, text[], bigint[], interval) from public;
