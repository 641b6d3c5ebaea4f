-- For tests only: the shipped clock cannot be moved.
create or replace function chimeway.clock()
returns timestamptz
language sql
volatile
as $$
  select pg_catalog.clock_timestamp() + coalesce(
    -- A setting that was reset is empty, not null.
    nullif(pg_catalog.current_setting('chimeway.test_clock_offset', true), '')::interval,
    interval '0')
$$;

comment on function chimeway.clock() is
  'The one clock of every due time, lease and wait, moved by chimeway.test_clock_offset.';

revoke all on function chimeway.clock() from public;
