create or replace function chimeway.explain_attempts(p_delivery_id uuid)
returns table (
  happened_at timestamptz,
  place bigint,
  event text,
  what text,
  why text,
  facts jsonb
)
language sql
stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
  with attempts as (
    select a.*, c as policy, ending.status as final_status, ending.reason as final_reason,
      -- In whatever words: they may be those of an end of ours.
      exists (
        select from chimeway.delivery_events as e
        where e.delivery_id = a.delivery_id and e.reason = ending.reason
          and e.event in ('cancel_requested', 'suppress_requested')) as is_asked_for,
      ending.status is not null
        and a.attempt_number = max(a.attempt_number) over (partition by a.series) as is_last,
      row_number() over (partition by a.series order by a.attempt_number) as failures,
      coalesce(d.max_attempts, c.max_attempts) as max_attempts
    from chimeway.delivery_attempts as a
    join chimeway.deliveries as d on d.id = a.delivery_id
    left join chimeway.channels as c on c.name = d.channel
    left join lateral (
      select d.status, d.suppression_reason where d.series = a.series and d.finished_at is not null
      union all
      -- How an earlier series ended stands in the replay that followed.
      select e.facts ->> 'from', e.reason
      from chimeway.delivery_events as e
      where e.delivery_id = a.delivery_id and e.event = 'replayed'
        and (e.facts ->> 'series')::integer = a.series + 1
    ) as ending (status, reason) on true
    where a.delivery_id = p_delivery_id
  )
  select coalesce(a.started_at, a.finished_at), 2 * a.attempt_number::bigint, 'attempt',
    format('attempt %s: %s%s', a.attempt_number, a.outcome,
      coalesce(' (' || nullif(a.error_class, a.outcome) || ')', '')),
    a.detail,
    jsonb_strip_nulls(jsonb_build_object(
      'attempt_number', a.attempt_number, 'series', a.series, 'outcome', a.outcome,
      'error_class', a.error_class, 'status_code', a.status_code, 'daemon', a.daemon_name,
      'claim_id', a.claim_id, 'finished_at', a.finished_at,
      'duration_ms', round(extract(epoch from a.finished_at - a.started_at) * 1000, 3),
      'retry_after', a.retry_after, 'provider_message_id', a.provider_message_id,
      'response', a.response))
  from attempts as a
  union all
  select a.finished_at, 2 * a.attempt_number::bigint + 1, 'decided',
    case
      when a.next_attempt_at <= a.finished_at then 'due again at once'
      when a.next_attempt_at is not null
        then format('due again in %s', chimeway.span(a.next_attempt_at - a.finished_at))
      when a.outcome = 'succeeded' then 'succeeded'
      when a.is_last then format('%s: %s', a.final_status, a.final_reason)
      else 'no retry'
    end,
    case
      when a.outcome = 'succeeded' then 'the provider accepted it'
      when a.next_attempt_at <= a.finished_at and a.outcome = 'lost' then format(
        'failure %s of at most %s; a first loss says nothing of the delivery', a.failures,
        a.max_attempts)
      when a.next_attempt_at is not null then format(
        'failure %s of at most %s; %s%s', a.failures, a.max_attempts,
        chimeway.describe_backoff(a.policy, a.failures::integer),
        coalesce('; the provider asked for ' || chimeway.span(a.retry_after)
          || case when a.retry_after > (a.policy).retry_after_cap
            then ', retry_after_cap is ' || chimeway.span((a.policy).retry_after_cap)
            else '' end, ''))
      when a.error_class = 'permanent' then 'permanent failures are never retried'
      when a.error_class = 'bounced' then 'bounces are never retried'
      when a.is_last and a.is_asked_for
        then 'an operator asked for the end while the call was in flight'
      when a.is_last and a.final_reason = 'outcome_unknown'
        then 'the channel''s on_uncertain is hold: nobody knows whether it was sent'
      when a.is_last and a.final_reason = 'retries_exhausted' and a.failures >= a.max_attempts
        then format('failure %s of at most %s', a.failures, a.max_attempts)
      when a.is_last and a.final_reason = 'retries_exhausted' and (a.policy).max_age is null
        then format('failure %s was the last allowed; now %s are', a.failures, a.max_attempts)
      when a.is_last and a.final_reason = 'retries_exhausted'
        then format('the next retry would come later than max_age %s allows',
          chimeway.span((a.policy).max_age))
      else 'how it ended is not recorded'
    end,
    jsonb_strip_nulls(jsonb_build_object(
      'next_attempt_at', a.next_attempt_at, 'failures', a.failures,
      'max_attempts', a.max_attempts))
  from attempts as a
$$;

comment on function chimeway.explain_attempts(uuid) is
  'Two rows an attempt: how the call ended, and what was decided by which rule and numbers.';

revoke all on function chimeway.explain_attempts(uuid) from public;
