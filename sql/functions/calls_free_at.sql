create or replace function chimeway.calls_free_at(
  p_rate chimeway.rates,
  p_now timestamptz,
  p_calls integer
)
returns timestamptz
language sql
immutable
as $$
  select p_now + greatest(interval '0', chimeway.owed_time(p_rate, p_now)
    - (p_rate.burst - least(p_calls, p_rate.burst)) * p_rate.gap)
$$;

comment on function chimeway.calls_free_at(chimeway.rates, timestamptz, integer) is
  'When the rate allows so many calls at once, or its whole burst if that is less.';

revoke all on function chimeway.calls_free_at(chimeway.rates, timestamptz, integer) from public;
