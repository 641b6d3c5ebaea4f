create or replace function chimeway.list_deliveries(
  p_before uuid,
  p_limit integer,
  p_channel text default null,
  p_status text default null,
  p_reason text default null,
  p_since timestamptz default null,
  p_recipient text default null,
  p_tenant_id text default null
)
returns table (
  id uuid,
  channel text,
  recipient text,
  tenant_id text,
  status text,
  suppression_reason text,
  attempt_count integer,
  inserted_at timestamptz,
  next_attempt_at timestamptz,
  finished_at timestamptz
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select d.id, d.channel, d.recipient, d.tenant_id, d.status, d.suppression_reason,
    d.attempt_count, d.inserted_at, d.next_attempt_at, d.finished_at
  from chimeway.deliveries as d
  where d.id <= coalesce(p_before, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    and d.id is distinct from p_before
    and (p_channel is null or d.channel = p_channel)
    and (p_status is null or d.status = p_status)
    and (p_reason is null or d.suppression_reason = p_reason)
    and (p_since is null or d.inserted_at >= p_since)
    and (p_recipient is null or d.recipient = p_recipient)
    and (p_tenant_id is null or d.tenant_id = p_tenant_id)
  order by d.id desc
  limit p_limit
$$;

comment on function chimeway.list_deliveries(
  uuid, integer, text, text, text, timestamptz, text, text) is
  'Deliveries that match every filter given (null: any), newest id first, before p_before: page by '
  'page. Reads back through the whole table where little matches: state is in no index.';

revoke all on function chimeway.list_deliveries(
  uuid, integer, text, text, text, timestamptz, text, text) from public;
