create or replace function chimeway.ring()
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  -- The first nextval does not move last_value; null: nobody has ever slept.
  v_armed constant bigint := (
    select s.last_value from chimeway.bell_armed as s where s.is_called);
begin
  if v_armed > (select s.last_value from chimeway.bell_rung as s)
      and coalesce(current_setting('chimeway.notify', true), '') <> 'off' then
    perform setval('chimeway.bell_rung', v_armed);
    perform pg_notify('chimeway_jobs', '');
  end if;
end
$$;

comment on function chimeway.ring() is
  'Wakes the daemons if one said since the last ring that it goes to sleep. Never blocks: the bell '
  'is two sequences, not a row. A session that prepares its transactions (two-phase commit cannot '
  'carry a notification) sets chimeway.notify = off; the daemons'' poll finds its deliveries.';

revoke all on function chimeway.ring() from public;
