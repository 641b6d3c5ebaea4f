create or replace function chimeway.guard_history()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_expected chimeway.delivery_attempts;
begin
  if tg_op = 'DELETE' then
    -- It goes with its delivery, which guard_deletion let go, or not at all.
    if not exists (select from chimeway.deliveries as d where d.id = old.delivery_id) then
      return old;
    end if;
  elsif tg_table_name = 'delivery_attempts' then
    v_expected := old;
    v_expected.response := null;
    if new is not distinct from v_expected and exists (
        select from chimeway.deliveries as d
        where d.id = old.delivery_id and d.redacted_at is not null) then
      return new;
    end if;
  end if;
  raise exception '%.% is history: its rows are never changed', tg_table_schema, tg_table_name
    using errcode = 'NC002', schema = tg_table_schema, table = tg_table_name;
end
$$;

comment on function chimeway.guard_history() is
  'Refuses any change of attempts and events, also by the owner (NC002), except what retention '
  'does: rows go after their delivery went, and responses after its body was redacted.';

revoke all on function chimeway.guard_history() from public;

create or replace trigger guard_history
  before update or delete on chimeway.delivery_attempts
  for each row
  execute function chimeway.guard_history();

create or replace trigger guard_history
  before update or delete on chimeway.delivery_events
  for each row
  execute function chimeway.guard_history();
