create or replace function chimeway.is_bell_armed()
returns boolean
language sql
volatile
as $$
  -- Null: never moved, or lost in a crash of the server; then both are.
  select pg_catalog.pg_sequence_last_value('chimeway.bell_armed'::pg_catalog.regclass)
    is distinct from
    pg_catalog.pg_sequence_last_value('chimeway.bell_rung'::pg_catalog.regclass)
$$;

comment on function chimeway.is_bell_armed() is
  'Whether a daemon said that it goes to sleep and nobody has rung since.';

revoke all on function chimeway.is_bell_armed() from public;
