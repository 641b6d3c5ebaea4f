create or replace function chimeway.release(id uuid, actor text)
returns table (changed boolean, status text, message text)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
-- With the statistics of a small queue all of a large one would be walked: a bitmap scan, unlike an
-- index scan, cannot be had without a key.
set enable_seqscan = off
set enable_indexscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
#variable_conflict use_column
declare
  v_now constant timestamptz := chimeway.clock();
  v_status text;
begin
  perform chimeway.require_actor('release', actor);

  with freed as (
    -- Due now where its moment has passed: no claim looks for jobs that were due long ago.
    update chimeway.jobs as j
    set due_at = greatest(coalesce(d.next_attempt_at, d.scheduled_at), v_now)
    from chimeway.deliveries as d
    where d.id = release.id
      and j.channel = d.channel and j.priority = d.priority
      and j.due_at = 'infinity' and j.position = d.position
    returning j.delivery_id, j.due_at
  )
  update chimeway.deliveries as d
  set next_attempt_at = f.due_at
  from freed as f
  where d.id = f.delivery_id
  returning d.status into v_status;

  if found then
    insert into chimeway.delivery_events (delivery_id, happened_at, event, actor)
    values (release.id, v_now, 'released', actor);
    -- In any case: it may be long until the commit, and who sleeps then is not known now.
    perform chimeway.notify_daemons();
    return query select true, v_status, 'released'::text;
    return;
  end if;

  select d.status into v_status from chimeway.deliveries as d where d.id = release.id;
  if not found then
    raise exception 'chimeway.release: there is no delivery %', release.id using errcode = 'NC001';
  end if;
  return query select false, v_status, 'not held: nothing changed'::text;
end
$$;

comment on function chimeway.release(uuid, text) is
  'Lets a held delivery be claimed again, when it is due. NC001: no such delivery. NC003: no actor. '
  'Locks the job, then the delivery.';

revoke all on function chimeway.release(uuid, text) from public;
