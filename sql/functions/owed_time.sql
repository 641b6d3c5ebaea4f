create or replace function chimeway.owed_time(p_rate chimeway.rates, p_now timestamptz)
returns interval
language sql
immutable
as $$
  select case
    when p_rate.paid_until <= p_now then interval '0'
    -- More than can be owed: the clock was set back, or the rate is another one now. A clock that
    -- is only slewed forgives nothing.
    when p_rate.paid_until > p_now + p_rate.burst * p_rate.gap + interval '1 second'
      then interval '0'
    else least(p_rate.paid_until - p_now, p_rate.burst * p_rate.gap) end
$$;

comment on function chimeway.owed_time(chimeway.rates, timestamptz) is
  'How far the calls made so far are ahead of the rate: nothing after a rest, burst * gap when no '
  'call is free.';

revoke all on function chimeway.owed_time(chimeway.rates, timestamptz) from public;
