create or replace function chimeway.take_job(p_delivery_id uuid)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
-- With the statistics of a small queue all of a large one would be walked: a bitmap scan, unlike an
-- index scan, cannot be had without a key.
set enable_seqscan = off
set enable_indexscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
begin
  -- No index of the queue begins with the delivery: its row knows all of the job's key, for a job
  -- is due at once (-infinity), held (infinity), or when the row says.
  delete from chimeway.jobs as j
  using chimeway.deliveries as d
  where d.id = p_delivery_id
    and j.channel = d.channel and j.priority = d.priority
    and j.due_at = any (array['-infinity', 'infinity', coalesce(d.next_attempt_at, d.scheduled_at)])
    and j.position = d.position;
  return found;
end
$$;

comment on function chimeway.take_job(uuid) is
  'Deletes the job of a delivery, waiting for a claim that is taking it: false, there was none. '
  'Locks the job; call it before the delivery is locked.';

revoke all on function chimeway.take_job(uuid) from public;
