create or replace function chimeway.cancel(id uuid, reason text, actor text)
returns table (changed boolean, status text, message text)
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  select e.* from chimeway.end_by_operator($1, 'cancelled', $2, $3) as e
$$;

comment on function chimeway.cancel(uuid, text, text) is
  'Cancels a delivery: pending, failed -> cancelled at once; dispatched: no retry follows the call '
  'in flight, whose real outcome is recorded. Terminal: nothing changes and the message says so. '
  'NC001: no such delivery. NC003: no actor, or no reason.';

revoke all on function chimeway.cancel(uuid, text, text) from public;
