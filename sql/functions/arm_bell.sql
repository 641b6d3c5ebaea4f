create or replace function chimeway.arm_bell()
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform nextval('chimeway.bell_armed');
  -- What did not see the bell armed has ended by now, and is seen by the claim, or is still at it.
  perform set_config('chimeway.is_expecting', (exists (
    select from pg_locks as l
    where l.relation = 'chimeway.deliveries'::regclass and l.mode = 'RowExclusiveLock'
      and l.database = (select d.oid from pg_database as d where d.datname = current_database())
      and l.pid is distinct from pg_backend_pid()))::text, false);
end
$$;

comment on function chimeway.arm_bell() is
  'Says that a daemon goes to sleep: whoever queues something from here on rings. Remembers in the '
  'session (chimeway.is_expecting) whether somebody was at it who will not.';

revoke all on function chimeway.arm_bell() from public;
