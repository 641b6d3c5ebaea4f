create or replace function chimeway.end_waiting(
  p_delivery_id uuid,
  p_status text,
  p_reason text,
  p_now timestamptz
)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_channel text;
begin
  perform chimeway.take_job(p_delivery_id);

  update chimeway.deliveries as d
  set status = p_status,
    suppression_reason = p_reason,
    next_attempt_at = null,
    finished_at = p_now,
    updated_at = p_now
  where d.id = p_delivery_id and d.status in ('pending', 'failed')
  returning d.channel into v_channel;

  if v_channel is null then
    return false;
  end if;
  insert into chimeway.tallies (channel, status, count) values (v_channel, p_status, 1);
  return true;
end
$$;

comment on function chimeway.end_waiting(uuid, text, text, timestamptz) is
  'Ends a delivery that waits: pending, failed -> p_status, and its job is gone. False: it does not '
  'wait (any more). Locks its job, then the delivery.';

revoke all on function chimeway.end_waiting(uuid, text, text, timestamptz) from public;
