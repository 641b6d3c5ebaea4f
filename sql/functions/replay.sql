create or replace function chimeway.replay(id uuid, actor text, force boolean default false)
returns table (changed boolean, status text, message text)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_now constant timestamptz := chimeway.clock();
  v_old record;
begin
  perform chimeway.require_actor('replay', actor);

  select d.status, d.suppression_reason, d.series, d.channel, d.priority, d.position, d.expires_at,
    d.redacted_at
  into v_old
  from chimeway.deliveries as d
  where d.id = replay.id
  for update;

  if not found then
    raise exception 'chimeway.replay: there is no delivery %', replay.id using errcode = 'NC001';
  elsif v_old.status not in ('succeeded', 'suppressed', 'cancelled') then
    raise exception 'delivery % cannot move from % to pending: only a terminal one is replayed',
        replay.id, v_old.status
      using errcode = 'NC002';
  elsif v_old.status = 'succeeded' and not replay.force then
    raise exception 'delivery % cannot move from succeeded to pending: it was sent', replay.id
      using errcode = 'NC002', hint = 'chimeway.replay(id, actor, force => true) sends it again.';
  end if;

  if v_old.redacted_at is not null then
    raise exception 'delivery % cannot move from % to pending: its body was redacted at %',
        replay.id, v_old.status, chimeway.moment(v_old.redacted_at)
      using errcode = 'NC002', hint = 'Insert it anew; channels.<name>.retention says when bodies go.';
  end if;

  -- This row opens the gate of guard_terminal.
  insert into chimeway.delivery_events (delivery_id, happened_at, event, actor, reason, facts)
  values (replay.id, v_now, 'replayed', actor, v_old.suppression_reason,
    jsonb_strip_nulls(jsonb_build_object('from', v_old.status, 'series', v_old.series + 1,
      'force', nullif(replay.force, false),
      'expires_at', case when v_old.expires_at <= v_now then v_old.expires_at end)));

  update chimeway.deliveries as d
  set status = 'pending',
    series = d.series + 1,
    attempts_before = d.attempt_count,
    lost_count = 0,
    next_attempt_at = v_now,
    -- The limits of age count from here; what has expired would expire again at once.
    scheduled_at = v_now,
    expires_at = case when d.expires_at > v_now then d.expires_at end,
    finished_at = null,
    suppression_reason = null,
    provider_message_id = null,
    updated_at = v_now
  where d.id = replay.id;

  insert into chimeway.jobs (delivery_id, due_at, position, priority, rings, channel)
  values (replay.id, v_now, v_old.position, v_old.priority, true, v_old.channel);
  insert into chimeway.tallies (channel, status, count)
  values (v_old.channel, v_old.status, -1);
  return query select true, 'pending', format('was %s, is pending again', v_old.status);
end
$$;

comment on function chimeway.replay(uuid, text, boolean) is
  'Begins a new series of attempts: suppressed, cancelled -> pending, due now; succeeded only with '
  'force. History stays and attempt numbers go on. NC001: no such delivery. NC002: not terminal, '
  'redacted, or succeeded without force. NC003: no actor. Locks the delivery.';

revoke all on function chimeway.replay(uuid, text, boolean) from public;
