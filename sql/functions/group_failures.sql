create or replace function chimeway.group_failures(
  p_since timestamptz,
  p_limit integer,
  p_channel text default null,
  p_tenant_id text default null
)
returns table (
  channel text,
  outcome text,
  error_class text,
  status_code integer,
  attempts bigint,
  deliveries bigint,
  given_up bigint,
  newest_at timestamptz,
  newest_delivery_id uuid,
  newest_detail text
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_indexscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
  select d.channel, a.outcome, a.error_class, a.status_code, count(*),
    count(distinct a.delivery_id),
    count(distinct a.delivery_id) filter (where d.status in ('suppressed', 'cancelled')),
    max(a.finished_at),
    (array_agg(a.delivery_id order by a.finished_at desc))[1],
    (array_agg(a.detail order by a.finished_at desc))[1]
  from chimeway.delivery_attempts as a
  join chimeway.deliveries as d on d.id = a.delivery_id
  where a.finished_at >= p_since and a.outcome <> 'succeeded'
    and (p_channel is null or d.channel = p_channel)
    and (p_tenant_id is null or d.tenant_id = p_tenant_id)
  -- What differs only in its numbers (ports, ids, times) is one failure.
  group by d.channel, a.outcome, a.error_class, a.status_code,
    regexp_replace(left(a.detail, 200), '[0-9]+', '#', 'g')
  order by count(*) desc, max(a.finished_at) desc
  limit p_limit
$$;

comment on function chimeway.group_failures(timestamptz, integer, text, text) is
  'Calls that did not succeed since p_since, by channel and error, the most frequent first: how '
  'many calls and deliveries, how many of these ended unsent, and the newest of them.';

revoke all on function chimeway.group_failures(timestamptz, integer, text, text) from public;
