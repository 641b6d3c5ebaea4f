create or replace function chimeway.free_calls(p_rate chimeway.rates, p_now timestamptz)
returns integer
language sql
immutable
as $$
  select floor(p_rate.burst - extract(epoch from chimeway.owed_time(p_rate, p_now))
    / extract(epoch from p_rate.gap))::integer
$$;

comment on function chimeway.free_calls(chimeway.rates, timestamptz) is
  'How many calls the rate allows at this moment: 0 to burst.';

revoke all on function chimeway.free_calls(chimeway.rates, timestamptz) from public;
