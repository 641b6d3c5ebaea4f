create or replace function chimeway.guard_deletion()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (
      select from chimeway.channels as c
      where c.name = old.channel and old.finished_at <= chimeway.clock() - c.delete_after) then
    return old;
  end if;
  raise exception 'delivery % cannot be deleted: % is terminal, and its channel keeps it',
      old.id, old.status
    using errcode = 'NC002', schema = 'chimeway', table = 'deliveries',
      hint = 'The setting channels.<name>.retention.delete_after says how long.';
end
$$;

comment on function chimeway.guard_deletion() is
  'Refuses to delete a terminal delivery, also by the owner (NC002), until its channel''s '
  'delete_after has passed: whoever deletes it then does what retention does.';

revoke all on function chimeway.guard_deletion() from public;

create or replace trigger guard_deletion
  before delete on chimeway.deliveries
  for each row
  when (old.status in ('succeeded', 'suppressed', 'cancelled'))
  execute function chimeway.guard_deletion();
