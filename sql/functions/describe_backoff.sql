create or replace function chimeway.describe_backoff(p_channel chimeway.channels, p_failures integer)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select case
      when p_channel.backoff_schedule is not null then format('wait %s of the schedule: %s',
        least(p_failures, cardinality(p_channel.backoff_schedule)),
        chimeway.span(p_channel.backoff_schedule[
          least(p_failures, cardinality(p_channel.backoff_schedule))]))
      else format('backoff %s × %s^%s, at most %s', chimeway.span(p_channel.backoff_base),
        p_channel.backoff_factor, p_failures - 1, chimeway.span(p_channel.backoff_cap))
    end || format(', ± %s %%', round((p_channel.backoff_jitter * 100)::numeric))
$$;

comment on function chimeway.describe_backoff(chimeway.channels, integer) is
  'The rule behind the wait after so many failures, with its numbers, for people.';

revoke all on function chimeway.describe_backoff(chimeway.channels, integer) from public;
