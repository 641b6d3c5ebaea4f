create or replace function chimeway.hold(id uuid, reason text, actor text)
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
  v_status text;
  v_is_held boolean;
begin
  perform chimeway.require_actor('hold', actor);
  perform chimeway.require_reason('hold', reason);

  -- A delivery may be claimed, or its retry queued, between two looks: then this looks again.
  for v_look in 1 .. 100 loop
    update chimeway.jobs as j
    set due_at = 'infinity'
    from chimeway.deliveries as d
    where d.id = hold.id
      and j.channel = d.channel and j.priority = d.priority
      and j.due_at = any (array['-infinity', coalesce(d.next_attempt_at, d.scheduled_at)])
      and j.position = d.position;

    if found then
      insert into chimeway.delivery_events (delivery_id, happened_at, event, actor, reason)
      values (hold.id, chimeway.clock(), 'held', actor, reason);
      return query select true, d.status, 'held'::text
        from chimeway.deliveries as d where d.id = hold.id;
      return;
    end if;

    select d.status, exists (
        select from chimeway.jobs as j
        where j.channel = d.channel and j.priority = d.priority
          and j.due_at = 'infinity' and j.position = d.position)
    into v_status, v_is_held
    from chimeway.deliveries as d
    where d.id = hold.id;

    if not found then
      raise exception 'chimeway.hold: there is no delivery %', hold.id using errcode = 'NC001';
    elsif v_is_held then
      return query select false, v_status, 'already held: nothing changed'::text;
      return;
    elsif v_status not in ('pending', 'failed') then
      raise exception 'delivery % cannot move from % to held: only pending and failed ones wait',
          hold.id, v_status
        using errcode = 'NC002';
    end if;
  end loop;
  raise exception 'chimeway.hold: delivery % waits, but its job is missing', hold.id
    using errcode = 'NC002', hint = 'No function of chimeway leaves this behind: chimewayd doctor --repair.';
end
$$;

comment on function chimeway.hold(uuid, text, text) is
  'Keeps a delivery that waits (pending, failed) from being claimed until it is released. NC001: no '
  'such delivery. NC002: it does not wait. NC003: no actor or reason. Locks the job.';

revoke all on function chimeway.hold(uuid, text, text) from public;
