create or replace function chimeway.time_ordered_id()
returns uuid
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  -- As the default of deliveries.id, for whoever must know the id before the insert.
  select encode(
    set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) placing substring(
      int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) from 1 for 6),
      52, 1), 53, 1), 'hex')::uuid
$$;

comment on function chimeway.time_ordered_id() is 'A version 7 uuid, as deliveries get one.';

revoke all on function chimeway.time_ordered_id() from public;
