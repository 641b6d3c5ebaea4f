create or replace function chimeway.guard_history()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception '%.% is history: its rows are never changed', tg_table_schema, tg_table_name
    using errcode = 'NC002', schema = tg_table_schema, table = tg_table_name;
end
$$;

comment on function chimeway.guard_history() is
  'Refuses any update of attempts and events, also by the owner (NC002).';

revoke all on function chimeway.guard_history() from public;

create or replace trigger guard_history
  before update on chimeway.delivery_attempts
  for each statement
  execute function chimeway.guard_history();

create or replace trigger guard_history
  before update on chimeway.delivery_events
  for each statement
  execute function chimeway.guard_history();
