create or replace function chimeway.record_late(
  p_daemon_name text,
  p_delivery_id uuid,
  p_claim_id bigint,
  p_kind text,
  p_finished_at timestamptz,
  p_detail text,
  p_status_code integer
)
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (
      select from chimeway.delivery_attempts as a
      where a.delivery_id = p_delivery_id and a.claim_id = p_claim_id and a.outcome <> 'lost') then
    return 'already_applied';
  end if;

  if not exists (select from chimeway.deliveries as d where d.id = p_delivery_id) then
    return 'gone';
  end if;

  insert into chimeway.delivery_events (delivery_id, happened_at, event, actor, reason, facts)
  select p_delivery_id, p_finished_at, 'late_outcome', 'daemon ' || p_daemon_name, p_detail,
    jsonb_strip_nulls(jsonb_build_object(
      'kind', p_kind, 'status_code', p_status_code, 'claim_id', p_claim_id))
  where not exists (
    select from chimeway.delivery_events as e
    where e.delivery_id = p_delivery_id and e.event = 'late_outcome'
      and (e.facts ->> 'claim_id')::bigint = p_claim_id);
  return 'stale';
end
$$;

comment on function chimeway.record_late(
  text, uuid, bigint, text, timestamptz, text, integer) is
  'What to say to a daemon whose record found its token gone: already_applied, gone or stale. A '
  'stale outcome is kept once in the history; the state is not touched.';

revoke all on function chimeway.record_late(
  text, uuid, bigint, text, timestamptz, text, integer) from public;
