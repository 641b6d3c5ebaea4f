create or replace function chimeway.guard_channels()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception 'channel % cannot be deleted: deliveries refer to its policy', old.name
    using errcode = 'NC002', schema = 'chimeway', table = 'channels',
      hint = 'Take it out of the daemons'' configuration, or set enabled = false.';
end
$$;

comment on function chimeway.guard_channels() is
  'Refuses to delete a channel (NC002): the outcome of a call in flight needs its policy.';

revoke all on function chimeway.guard_channels() from public;

create or replace trigger guard_channels
  before delete on chimeway.channels
  for each row
  execute function chimeway.guard_channels();
