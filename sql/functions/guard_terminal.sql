create or replace function chimeway.guard_terminal()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  -- A replay writes its event first: that row is what opens the gate.
  if new.status = 'pending' and new.series = old.series + 1 and exists (
      select from chimeway.delivery_events as e
      where e.delivery_id = old.id and e.event = 'replayed'
        and (e.facts ->> 'series')::integer = new.series) then
    return null;
  end if;
  raise exception 'delivery % cannot move from % to %: % is terminal',
      old.id, old.status, new.status, old.status
    using errcode = 'NC002', schema = 'chimeway', table = 'deliveries',
      hint = 'chimeway.replay(id, actor) begins a new series of attempts.';
end
$$;

comment on function chimeway.guard_terminal() is
  'Refuses any change of a terminal delivery, also by the owner (NC002), except by replay.';

revoke all on function chimeway.guard_terminal() from public;

-- After and not before: a before trigger locks each row once more, which each change of state of
-- every delivery would pay for.
create or replace trigger guard_terminal
  after update on chimeway.deliveries
  for each row
  when (old.status in ('succeeded', 'suppressed', 'cancelled'))
  execute function chimeway.guard_terminal();
