create or replace function chimeway.suppress(id uuid, reason text, actor text)
returns table (changed boolean, status text, message text)
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  select e.* from chimeway.end_by_operator($1, 'suppressed', $2, $3) as e
$$;

comment on function chimeway.suppress(uuid, text, text) is
  'Suppresses a delivery: pending, failed -> suppressed at once; dispatched: no retry follows the call '
  'in flight, whose real outcome is recorded. Terminal: nothing changes and the message says so. '
  'NC001: no such delivery. NC003: no actor, or no reason.';

revoke all on function chimeway.suppress(uuid, text, text) from public;
