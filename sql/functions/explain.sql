create or replace function chimeway.explain(id uuid)
returns table (
  step bigint,
  happened_at timestamptz,
  event text,
  what text,
  why text,
  facts jsonb
)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
#variable_conflict use_column
declare
  v_delivery chimeway.deliveries;
begin
  select d.* into v_delivery from chimeway.deliveries as d where d.id = explain.id;
  if not found then
    raise exception 'chimeway.explain: there is no delivery %', explain.id
      using errcode = 'NC001',
        hint = 'An insert that was rolled back, or one refused by "on conflict", leaves none.';
  end if;

  return query
  with timeline as (
    select v_delivery.inserted_at as happened_at, 0 as rank, 0::bigint as place,
      'inserted' as event,
      format('inserted for channel %s', v_delivery.channel) as what,
      coalesce((
          select case
            when o.suppression_reason in ('permanent_failure', 'bounced', 'retries_exhausted')
              then format('fallback of delivery %s, which ended on channel %s as %s: %s', o.id,
                o.channel, o.status, o.suppression_reason)
            else format('fallback of delivery %s, which failed for good on channel %s and was '
              'replayed since', o.id, o.channel) end
          from chimeway.fallbacks as f
          join chimeway.deliveries as o on o.id = f.origin_id
          where f.delivery_id = v_delivery.id),
        case when v_delivery.scheduled_at > v_delivery.inserted_at and v_delivery.series = 1
        then format('not to be sent before %s', chimeway.moment(v_delivery.scheduled_at)) end) as why,
      jsonb_strip_nulls(jsonb_build_object(
        'scheduled_at', v_delivery.scheduled_at, 'expires_at', v_delivery.expires_at,
        'priority', v_delivery.priority, 'max_attempts', v_delivery.max_attempts,
        'notification_key', v_delivery.notification_key,
        'correlation_id', v_delivery.correlation_id)) as facts
    union all
    select t.happened_at, 1, t.place, t.event, t.what, t.why, t.facts
    from chimeway.explain_attempts(explain.id) as t
    union all
    select e.happened_at, 2, e.id, e.event,
      replace(e.event, '_', ' ') || ' by ' || e.actor
        || coalesce(': ' || (e.facts ->> 'kind'), '')
        || coalesce(', which ends it as ' || (e.facts ->> 'status') || ': '
          || (e.facts ->> 'ended_because'), ''),
      case e.event
        when 'expired' then coalesce('it was not to be sent after '
          || chimeway.moment(v_delivery.expires_at), e.reason)
        when 'late_outcome'
          then concat_ws('; ', e.reason, 'its lease was lost before: the state stays as it is')
        when 'replayed' then nullif(concat_ws('; ', e.reason, 'its expires_at '
          || chimeway.moment((e.facts ->> 'expires_at')::timestamptz)
          || ' had passed and counts no more'), '')
        else e.reason end,
      e.facts || jsonb_build_object('actor', e.actor)
    from chimeway.delivery_events as e
    where e.delivery_id = explain.id
    union all
    -- Inserted by the statement that recorded the failure, whose transaction began before that.
    select greatest(d.inserted_at, (
        select max(a.finished_at) from chimeway.delivery_attempts as a
        where a.delivery_id = explain.id and a.next_attempt_at is null
          and a.finished_at < d.inserted_at + interval '10 seconds')), 3, c.distance, 'fell_back',
      format('sent on as delivery %s on channel %s: %s', d.id, d.channel, d.status
        || coalesce(' / ' || d.suppression_reason, '')),
      case c.distance when 1 then format('channel %s falls back on %s', v_delivery.channel, d.channel)
        else 'the one before it failed for good as well' end,
      jsonb_build_object('delivery_id', d.id, 'channel', d.channel, 'status', d.status)
    from chimeway.fallback_chain(explain.id) as c
    cross join lateral (
      select d.* from chimeway.deliveries as d where d.id = c.delivery_id offset 0
    ) as d
    where c.distance > 0
    union all
    select k.claimed_at, 3, k.id, 'claimed',
      format('claimed by daemon %s for attempt %s', k.daemon_name, v_delivery.attempt_count),
      format('lease until %s', chimeway.moment(k.expires_at)),
      jsonb_build_object('claim_id', k.id, 'daemon', k.daemon_name, 'lease_until', k.expires_at)
    from chimeway.claims as k
    where k.id = v_delivery.claim_id
    union all
    select v_delivery.redacted_at, 4, 0, 'redacted', 'redacted: payload, metadata and responses',
      coalesce('the channel''s redact_after is ' || chimeway.span(c.redact_after),
        'the channel''s redact_after of that time had passed'), '{}'
    from chimeway.channels as c
    where c.name = v_delivery.channel and v_delivery.redacted_at is not null
  ),
  ordered as (
    select row_number() over (order by t.rank > 0, t.happened_at, t.rank, t.place) as step, t.*
    from timeline as t
  )
  select o.step, o.happened_at, o.event, o.what, o.why, o.facts from ordered as o
  union all
  select (select count(*) + 1 from ordered), n.expected_at, 'next', n.what, n.why, n.facts
  from chimeway.explain_next(v_delivery) as n
  order by 1;
end
$$;

comment on function chimeway.explain(uuid) is
  'The timeline of a delivery: one row an event, in order, with what happened, why, and the facts '
  'behind it; the last row (event = next) says what comes next, happened_at then being when it is '
  'expected (null: nothing is). NC001: no such delivery.';

revoke all on function chimeway.explain(uuid) from public;
