create or replace function chimeway.ring()
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if chimeway.is_bell_armed() and coalesce(current_setting('chimeway.notify', true), '') <> 'off' then
    -- Read before it is set: a daemon that falls asleep in between is asleep still.
    perform setval('chimeway.bell_rung',
      pg_sequence_last_value('chimeway.bell_armed'::regclass));
    perform chimeway.notify_daemons();
  end if;
end
$$;

comment on function chimeway.ring() is
  'Wakes the daemons if one said since the last ring that it goes to sleep. Never blocks: the bell '
  'is two sequences, not a row. A session that prepares its transactions (two-phase commit cannot '
  'carry a notification) sets chimeway.notify = off; the daemons'' poll finds its deliveries.';

revoke all on function chimeway.ring() from public;
