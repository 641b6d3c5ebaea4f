create or replace function chimeway.recent_attempts(
  p_since timestamptz,
  p_limit integer,
  p_channel text default null,
  p_failed_only boolean default false,
  p_recipient text default null,
  p_tenant_id text default null
)
returns table (
  finished_at timestamptz,
  delivery_id uuid,
  attempt_number integer,
  channel text,
  recipient text,
  tenant_id text,
  outcome text,
  error_class text,
  status_code integer,
  duration interval,
  next_attempt_at timestamptz,
  daemon_name text,
  detail text
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
-- What is left is the summary by time, and the key of each delivery: never a walk over history.
set enable_seqscan = off
set enable_indexscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
  select a.finished_at, a.delivery_id, a.attempt_number, d.channel, d.recipient, d.tenant_id,
    a.outcome, a.error_class, a.status_code, a.finished_at - a.started_at, a.next_attempt_at,
    a.daemon_name, a.detail
  from (
    select * from chimeway.delivery_attempts as a
    where a.finished_at >= p_since and not (p_failed_only and a.outcome = 'succeeded')
    order by a.finished_at desc
    -- No filter needs the delivery: then only those that are returned are looked up.
    limit case when coalesce(p_channel, p_recipient, p_tenant_id) is null then p_limit end
  ) as a
  join chimeway.deliveries as d on d.id = a.delivery_id
  where (p_channel is null or d.channel = p_channel)
    and (p_recipient is null or d.recipient = p_recipient)
    and (p_tenant_id is null or d.tenant_id = p_tenant_id)
  order by a.finished_at desc, a.delivery_id, a.attempt_number
  limit p_limit
$$;

comment on function chimeway.recent_attempts(timestamptz, integer, text, boolean, text, text) is
  'Attempts that ended at p_since or later, newest first, p_limit at most, that match every filter '
  'given (null: any). Reads what is as young as that, not history.';

revoke all on function
  chimeway.recent_attempts(timestamptz, integer, text, boolean, text, text) from public;
