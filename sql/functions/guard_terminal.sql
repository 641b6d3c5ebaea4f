create or replace function chimeway.guard_terminal()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_redacted chimeway.deliveries;
begin
  -- A replay writes its event first: that row is what opens the gate.
  if new.status = 'pending' and new.series = old.series + 1 and exists (
      select from chimeway.delivery_events as e
      where e.delivery_id = old.id and e.event = 'replayed'
        and (e.facts ->> 'series')::integer = new.series) then
    return null;
  end if;
  -- So does its channel's redact_after, for the body and nothing else.
  if old.redacted_at is null and new.redacted_at is not null then
    v_redacted := old;
    v_redacted.payload := '{}';
    v_redacted.metadata := '{}';
    v_redacted.redacted_at := new.redacted_at;
    if new is not distinct from v_redacted and exists (
        select from chimeway.channels as c
        where c.name = old.channel and old.finished_at <= chimeway.clock() - c.redact_after) then
      return null;
    end if;
  end if;
  raise exception 'delivery % cannot move from % to %: % is terminal',
      old.id, old.status, new.status, old.status
    using errcode = 'NC002', schema = 'chimeway', table = 'deliveries',
      hint = 'chimeway.replay(id, actor) begins a new series of attempts.';
end
$$;

comment on function chimeway.guard_terminal() is
  'Refuses any change of a terminal delivery, also by the owner (NC002), except by replay, '
  'and except that its body is emptied once its channel''s redact_after has passed.';

revoke all on function chimeway.guard_terminal() from public;

-- After and not before: a before trigger locks each row once more, which each change of state of
-- every delivery would pay for.
create or replace trigger guard_terminal
  after update on chimeway.deliveries
  for each row
  when (old.status in ('succeeded', 'suppressed', 'cancelled'))
  execute function chimeway.guard_terminal();
