create or replace function chimeway.breaker_wait(p_breaker chimeway.breakers)
returns interval
language sql
immutable
as $$
  select least(p_breaker.longest_wait,
    p_breaker.first_wait * power(2, least(p_breaker.failed_probes + 1, 30)))
$$;

comment on function chimeway.breaker_wait(chimeway.breakers) is
  'How long a breaker stays open after one more probe has failed: twice as long as before, up to '
  'longest_wait.';

revoke all on function chimeway.breaker_wait(chimeway.breakers) from public;
