create or replace function chimeway.clock()
returns timestamptz
language sql
volatile
as $$
  select pg_catalog.clock_timestamp()
$$;

comment on function chimeway.clock() is
  'The one clock of every due time, lease and wait. Tests replace it to move time.';

revoke all on function chimeway.clock() from public;
