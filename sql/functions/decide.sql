create or replace function chimeway.decide(
  p_rule text,
  p_failures integer,
  p_max_attempts integer,
  p_wait interval,
  p_last_retry_at timestamptz,
  p_on_uncertain text,
  p_requested_status text,
  p_requested_reason text,
  p_now timestamptz
)
returns table (status text, reason text, next_attempt_at timestamptz)
language sql
stable
as $$
  select
    case ending.status when 'requested' then p_requested_status else ending.status end,
    case ending.status when 'requested' then p_requested_reason else ending.reason end,
    case ending.status when 'failed' then p_now + p_wait end
  from (
    select c.status, c.reason
    from (values
      (p_rule = 'permanent_failure', 'cancelled', 'permanent_failure'),
      (p_rule = 'bounced', 'cancelled', 'bounced'),
      (p_rule = 'doubt' and p_on_uncertain = 'hold', 'cancelled', 'outcome_unknown'),
      (p_requested_status is not null, 'requested', null),
      (p_failures >= p_max_attempts, 'cancelled', 'retries_exhausted'),
      (p_now + p_wait > p_last_retry_at, 'cancelled', 'retries_exhausted'),
      (true, 'failed', null)
    ) as c (applies, status, reason)
    where c.applies
    limit 1
  ) as ending
$$;

comment on function chimeway.decide(
  text, integer, integer, interval, timestamptz, text, text, text, timestamptz) is
  'What a call that did not succeed makes of its delivery: the first line that applies. p_failures '
  'counts this series, this call included; p_last_retry_at null: no limit of age.';

revoke all on function chimeway.decide(
  text, integer, integer, interval, timestamptz, text, text, text, timestamptz) from public;
