create or replace function chimeway.release_unsent(
  p_daemon_name text,
  p_delivery_ids uuid[],
  p_claim_ids bigint[],
  p_reason text,
  p_waits interval[] default null
)
returns table (delivery_id uuid, claim_id bigint, status text)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
-- As in take_job, and no plan of another moment.
set enable_seqscan = off
set jit = off
set enable_indexscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  v_now constant timestamptz := chimeway.clock();
begin
  perform chimeway.lock_claims(p_claim_ids);

  return query
  with reported as materialized (
    select r.delivery_id, r.claim_id, r.wait,
      v_now + coalesce(r.wait, interval '0') as due_at
    from unnest(p_delivery_ids, p_claim_ids, p_waits) as r (delivery_id, claim_id, wait)
    order by r.delivery_id
  ),
  freed as materialized (
    update chimeway.deliveries as d
    set status = coalesce(d.requested_status,
        case when d.attempt_count - 1 = d.attempts_before then 'pending' else 'failed' end),
      claim_id = null,
      attempt_count = d.attempt_count - 1,
      next_attempt_at = case when d.requested_status is null then r.due_at end,
      updated_at = v_now,
      finished_at = case when d.requested_status is not null then v_now end,
      suppression_reason = d.requested_reason,
      requested_status = null,
      requested_reason = null
    from reported as r
    where d.id = r.delivery_id and d.claim_id = r.claim_id and d.status = 'dispatched'
    returning d.*, r.claim_id as token, r.wait, r.due_at
  ),
  queued as (
    insert into chimeway.jobs (delivery_id, due_at, position, priority, rings, is_suspect, channel)
    select f.id, f.due_at, f.position, f.priority, f.wait is null, f.lost_count >= 2, f.channel
    from freed as f
    where f.status in ('pending', 'failed')
  ),
  explained as (
    insert into chimeway.delivery_events (delivery_id, happened_at, event, actor, reason, facts)
    select f.id, v_now, case when f.wait is null or f.finished_at is not null
        then 'released_unsent' else 'deferred' end,
      'daemon ' || p_daemon_name, p_reason,
      case when f.finished_at is not null then jsonb_build_object(
          'status', f.status, 'ended_because', f.suppression_reason)
        when f.wait is null then '{}' else jsonb_build_object('until', f.due_at) end
    from freed as f
  ),
  counted as (
    insert into chimeway.tallies (channel, status, count)
    select f.channel, f.status, count(*)
    from freed as f
    where f.status in ('cancelled', 'suppressed')
    group by f.channel, f.status
  ),
  done as materialized (
    select f.token, count(*) as count from freed as f group by f.token
  ),
  reduced as (
    update chimeway.claims as k
    set open_count = k.open_count - n.count
    from done as n
    where k.id = n.token and k.open_count > n.count
  ),
  closed as (
    delete from chimeway.claims as k
    using done as n
    where k.id = n.token and k.open_count <= n.count
  )
  select f.id, f.token, f.status from freed as f;
end
$$;

comment on function chimeway.release_unsent(text, uuid[], bigint[], text, interval[]) is
  'Gives back deliveries that were claimed and not sent: dispatched -> pending or failed, due now '
  'or after its wait (p_waits, null: no wait), '
  'attempt_count - 1; or the end that was asked for meanwhile. Rows whose token is not the given one '
  'any more are left alone and not returned. Locks claims, then deliveries.';

revoke all on function chimeway.release_unsent(text, uuid[], bigint[], text, interval[]) from public;
