create or replace function chimeway.explain_next(p_delivery chimeway.deliveries)
returns table (expected_at timestamptz, what text, why text, facts jsonb)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
#variable_conflict use_column
declare
  v_now constant timestamptz := chimeway.clock();
  v_due constant timestamptz := coalesce(p_delivery.next_attempt_at, p_delivery.scheduled_at);
  v_channel chimeway.channels;
  v_daemon record;
  v_job_due timestamptz;
  v_limit record;
  v_deferred text;
  v_refusal constant text := (
    select r.reason from chimeway.refuse_by_policy(
      array[p_delivery.id], array[p_delivery.channel],
      greatest(case when p_delivery.finished_at is null then v_due end, v_now)) as r);
begin
  if p_delivery.finished_at is not null then
    return query select null::timestamptz, 'nothing: ' || p_delivery.status || ' is terminal',
      case when p_delivery.redacted_at is not null
        then 'it cannot be replayed: its body was redacted'
        else case p_delivery.status when 'succeeded' then 'chimeway.replay(id, actor, force => true)'
            else 'chimeway.replay(id, actor)' end
          || coalesce(' would end as suppressed: ' || v_refusal,
            ' would begin a new series of attempts') end, '{}'::jsonb;
    return;
  end if;

  if p_delivery.status = 'dispatched' then
    return query select
      case when k.expires_at > v_now then k.expires_at when r.is_alive then v_now end,
      case when k.id is null then 'its claim is missing: chimewayd doctor --repair mends that'
        when k.expires_at > v_now then format('daemon %s records how attempt %s ends', k.daemon_name,
          p_delivery.attempt_count)
        else format('attempt %s is recorded as lost', p_delivery.attempt_count) end
        || coalesce('; instead of a retry it ends as ' || p_delivery.requested_status || ': '
          || p_delivery.requested_reason, ''),
      case when k.id is null then 'no function of chimeway leaves a delivery dispatched like this'
        when k.expires_at > v_now
          then coalesce('the daemon was last seen ' || chimeway.span(v_now - m.heartbeat_at)
            || ' ago', 'the daemon is not known any more')
          || '; if its lease runs out, the attempt is recorded as lost'
        else format('the lease of daemon %s ran out at %s; %s', k.daemon_name,
          chimeway.moment(k.expires_at), case when r.is_alive
            then 'whichever daemon looks next does it, within seconds'
            else 'no daemon runs: the first that starts does it' end) end,
      jsonb_strip_nulls(jsonb_build_object(
        'daemon', k.daemon_name, 'last_seen_at', m.heartbeat_at, 'lease_until', k.expires_at))
    from (values (p_delivery.claim_id)) as token (id)
    left join chimeway.claims as k on k.id = token.id
    left join chimeway.daemons as m on m.id = k.daemon_id
    cross join lateral (
      select exists (
        select from chimeway.daemons as d where d.heartbeat_at > v_now - interval '30 seconds')
        as is_alive) as r;
    return;
  end if;

  select c.* into v_channel from chimeway.channels as c where c.name = p_delivery.channel;
  select count(*) filter (where m.heartbeat_at > v_now - interval '30 seconds') as alive,
    max(m.heartbeat_at) as last_seen_at
  into v_daemon
  from chimeway.daemons as m
  where p_delivery.channel = any (m.channels);
  select j.due_at into v_job_due
  from chimeway.jobs as j
  where j.channel = p_delivery.channel and j.priority = p_delivery.priority
    and j.due_at = any (array['-infinity', 'infinity', v_due]) and j.position = p_delivery.position;
  select l.until, l.limited_by, l.why, v_due <= v_now as is_felt into v_limit
  from (values (1)) as one
  left join chimeway.what_limits(p_delivery.channel, v_now) as l on true;
  select e.reason into v_deferred
  from chimeway.delivery_events as e
  where e.delivery_id = p_delivery.id and e.event = 'deferred'
    and (e.facts ->> 'until')::timestamptz = v_due;

  return query
  select
    case when reason.rank = 10 then v_limit.until
      when reason.rank = 9 then p_delivery.expires_at
      when reason.rank = 8 or reason.what like 'attempt%' then greatest(v_due, v_now) end,
    -- Whatever keeps it waiting may do so for too long.
    reason.what || case when reason.rank in (2, 4, 5, 6, 10)
      then coalesce(', or it expires at ' || chimeway.moment(p_delivery.expires_at), '') else '' end,
    reason.why,
    jsonb_strip_nulls(jsonb_build_object(
      'due_at', v_due, 'expires_at', p_delivery.expires_at, 'served_by', v_daemon.alive,
      'channel_last_served_at', v_daemon.last_seen_at, 'paused_at', v_channel.paused_at,
      'paused_by', v_channel.paused_by))
  from (values
    (1, p_delivery.expires_at <= v_now, 'it ends as cancelled: expired',
      format('it expired at %s', chimeway.moment(p_delivery.expires_at))),
    (2, v_job_due = 'infinity', 'it is held until chimeway.release(id, actor)',
      'an operator holds it: see held above'),
    (3, v_job_due is null, 'it is not in the queue: chimewayd doctor --repair mends that',
      'its job is missing, which no function of chimeway leaves behind'),
    (4, v_channel.name is null, 'it waits for a daemon that serves its channel',
      format('nobody serves channel %s, and nobody ever did: is the name right?', p_delivery.channel)),
    (5, v_daemon.alive = 0, 'it waits for a daemon that serves its channel',
      format('nobody serves channel %s now%s', p_delivery.channel,
        coalesce('; last served ' || chimeway.span(v_now - v_daemon.last_seen_at) || ' ago', ''))),
    (6, v_channel.paused_at is not null, 'it waits for its channel to be resumed',
      format('channel %s was paused by %s at %s: %s', v_channel.name, v_channel.paused_by,
        chimeway.moment(v_channel.paused_at), v_channel.pause_reason)),
    (7, not v_channel.enabled, 'it ends as suppressed: channel_disabled',
      format('channel %s is disabled', v_channel.name)),
    (8, v_refusal is not null, format('it ends as suppressed: %s', v_refusal),
      'recipient is in chimeway.suppressions'),
    (9, p_delivery.expires_at <= v_due and v_due > v_now,
      'it ends as cancelled: expired', format('it is not due before %s, and expires at %s',
        chimeway.moment(v_due), chimeway.moment(p_delivery.expires_at))),
    (10, v_limit.limited_by is not null and v_limit.is_felt,
      format('attempt %s when its channel may call again (%s)', p_delivery.attempt_count + 1, v_limit.limited_by)
        || coalesce(', in ' || chimeway.span(v_limit.until - v_now) || ' at the soonest', ''),
      v_limit.why),
    (11, v_due > v_now, format('attempt %s in %s', p_delivery.attempt_count + 1, chimeway.span(v_due - v_now)),
      format('not due until %s', chimeway.moment(v_due)) || coalesce(': ' || v_deferred, '')),
    (12, true, format('attempt %s, as soon as there is a free slot', p_delivery.attempt_count + 1),
      'it is due')
  ) as reason (rank, applies, what, why)
  where reason.applies
  order by reason.rank
  limit 1;
end
$$;

comment on function chimeway.explain_next(chimeway.deliveries) is
  'What comes next for a delivery, why, and when (null: nothing says when): never empty.';

revoke all on function chimeway.explain_next(chimeway.deliveries) from public;
