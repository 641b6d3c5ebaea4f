create or replace function chimeway.end_by_operator(
  p_delivery_id uuid,
  p_status text,
  p_reason text,
  p_actor text
)
returns table (changed boolean, status text, message text)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_now constant timestamptz := chimeway.clock();
  v_verb constant text := case p_status when 'cancelled' then 'cancel' else 'suppress' end;
  v_status text;
begin
  perform chimeway.require_actor(v_verb, p_actor);
  perform chimeway.require_reason(v_verb, p_reason);

  -- Its job is asked for before the row is locked (the lock order), so between two looks a
  -- delivery may go from waiting to dispatched and back: then this looks again.
  for v_look in 1 .. 100 loop
    if chimeway.end_waiting(p_delivery_id, p_status, p_reason, v_now) then
      insert into chimeway.delivery_events (delivery_id, happened_at, event, actor, reason)
      values (p_delivery_id, v_now, p_status, p_actor, p_reason);
      return query select true, p_status, p_status;
      return;
    end if;

    update chimeway.deliveries as d
    set requested_status = p_status, requested_reason = p_reason, updated_at = v_now
    where d.id = p_delivery_id and d.status = 'dispatched';
    if found then
      insert into chimeway.delivery_events (delivery_id, happened_at, event, actor, reason)
      values (p_delivery_id, v_now, v_verb || '_requested', p_actor, p_reason);
      return query select true, 'dispatched'::text,
        'a call is in flight: its outcome will be recorded, and no retry will follow'::text;
      return;
    end if;

    select d.status into v_status from chimeway.deliveries as d where d.id = p_delivery_id;
    if not found then
      raise exception 'chimeway.%: there is no delivery %', v_verb, p_delivery_id
        using errcode = 'NC001';
    elsif v_status in ('succeeded', 'suppressed', 'cancelled') then
      return query select false, v_status, format('already %s: nothing changed', v_status);
      return;
    end if;
  end loop;
  raise exception 'chimeway.%: delivery % waits, but its job is missing', v_verb, p_delivery_id
    using errcode = 'NC002', hint = 'No function of chimeway leaves this behind: chimewayd doctor --repair.';
end
$$;

comment on function chimeway.end_by_operator(uuid, text, text, text) is
  'What cancel and suppress have in common. Locks the job, then the delivery.';

revoke all on function chimeway.end_by_operator(uuid, text, text, text) from public;
