create or replace function chimeway.end_waiting(
  p_delivery_id uuid,
  p_status text,
  p_reason text,
  p_now timestamptz
)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
begin
  -- Whoever takes the job owns the waiting delivery: nobody else can move it before the commit.
  if not chimeway.take_job(p_delivery_id) then
    return false;
  end if;

  with ended as (
    update chimeway.deliveries as d
    set status = p_status,
      suppression_reason = p_reason,
      next_attempt_at = null,
      finished_at = p_now,
      updated_at = p_now
    where d.id = p_delivery_id and d.status in ('pending', 'failed')
    returning d.channel
  )
  insert into chimeway.tallies (channel, status, count)
  select e.channel, p_status, 1 from ended as e;
  return found;
end
$$;

comment on function chimeway.end_waiting(uuid, text, text, timestamptz) is
  'Ends a delivery that waits: pending, failed -> p_status, and its job is gone. False: it does not '
  'wait (any more). Locks its job, then the delivery.';

revoke all on function chimeway.end_waiting(uuid, text, text, timestamptz) from public;
