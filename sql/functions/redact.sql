create or replace function chimeway.redact(p_delivery_ids uuid[])
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
declare
  v_done uuid[];
begin
  with locked as materialized (
    select d.id from chimeway.deliveries as d
    where d.id = any (p_delivery_ids) and d.finished_at is not null
    order by d.id
    for update skip locked
  ),
  emptied as (
    update chimeway.deliveries as d
    set payload = '{}', metadata = '{}', redacted_at = chimeway.clock()
    from locked as l
    where d.id = l.id
    returning d.id
  )
  select array_agg(e.id) into v_done from emptied as e;
  update chimeway.delivery_attempts as a
  set response = null
  where a.delivery_id = any (v_done) and a.response is not null;
  return coalesce(cardinality(v_done), 0);
end
$$;

comment on function chimeway.redact(uuid[]) is
  'Empties payload, metadata and the provider''s responses of terminal deliveries; the rest stays. '
  'NC002: guard_terminal, until their channel''s redact_after has passed. Locks deliveries, '
  'skipping locked ones.';

revoke all on function chimeway.redact(uuid[]) from public;
