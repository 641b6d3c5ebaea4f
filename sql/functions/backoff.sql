create or replace function chimeway.backoff(p_channel chimeway.channels, p_failures integer, p_random double precision)
returns interval
language sql
immutable
as $$
  select coalesce(
      p_channel.backoff_schedule[least(p_failures, cardinality(p_channel.backoff_schedule))],
      -- In seconds, and with a bounded exponent: an interval overflows long before the cap decides.
      make_interval(secs => least(
        extract(epoch from p_channel.backoff_cap)::double precision,
        extract(epoch from p_channel.backoff_base)::double precision
          * power(p_channel.backoff_factor, least(p_failures - 1, 30)))))
    * (1 + p_channel.backoff_jitter * (2 * p_random - 1))
$$;

comment on function chimeway.backoff(chimeway.channels, integer, double precision) is
  'Wait after the given number of failures of a series (1, 2, …): the channel''s schedule, or '
  'base * factor ^ (failures - 1) up to its cap; then jitter: p_random in [0, 1) moves it evenly '
  'within plus or minus the channel''s share.';

revoke all on function chimeway.backoff(chimeway.channels, integer, double precision) from public;
