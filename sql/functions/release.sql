create or replace function chimeway.release(id uuid, actor text)
returns table (changed boolean, status text, message text)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  v_status text;
begin
  perform chimeway.require_actor('release', actor);

  update chimeway.jobs as j
  set due_at = coalesce(d.next_attempt_at, d.scheduled_at)
  from chimeway.deliveries as d
  where d.id = release.id
    and j.channel = d.channel and j.priority = d.priority
    and j.due_at = 'infinity' and j.position = d.position;

  if found then
    insert into chimeway.delivery_events (delivery_id, happened_at, event, actor)
    values (release.id, chimeway.clock(), 'released', actor);
    perform chimeway.ring();
    return query select true, d.status, 'released'::text
      from chimeway.deliveries as d where d.id = release.id;
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
  'Locks the job.';

revoke all on function chimeway.release(uuid, text) from public;
