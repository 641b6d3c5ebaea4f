create or replace function chimeway.roll_up_tallies()
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  -- One at a time, and nobody waits: the next sweep is soon enough.
  if not pg_try_advisory_xact_lock(hashtext('chimeway.roll_up_tallies')) then
    return;
  end if;
  with spent as (
    delete from chimeway.tallies as t returning t.channel, t.status, t.count
  )
  insert into chimeway.tallies (channel, status, count)
  select s.channel, s.status, sum(s.count)
  from spent as s
  group by s.channel, s.status;
end
$$;

comment on function chimeway.roll_up_tallies() is
  'Sums up the tallies: one row a channel and terminal status.';

revoke all on function chimeway.roll_up_tallies() from public;
