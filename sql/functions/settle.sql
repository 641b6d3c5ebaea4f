create or replace function chimeway.settle(
  p_delivery_ids uuid[],
  p_claim_ids bigint[],
  p_kinds text[],
  p_daemon_name text,
  p_started_ago double precision[],
  p_finished_ago double precision[],
  p_details text[],
  p_status_codes integer[],
  p_responses text[],
  p_provider_message_ids text[],
  p_retry_after interval[]
)
returns table (
  nth integer,
  status text,
  suppression_reason text,
  attempt_number integer,
  next_attempt_at timestamptz
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
-- A plan that was made while the tables were small must be right when they are not. What is left
-- is one walk over the index for all keys of a batch, and a hash of what it brought: so each join
-- with a table also names the array of these keys. Up to Postgres 17 what is switched off counts
-- as very dear, and dear plans are compiled: half a second for each, unless that is off too.
set enable_seqscan = off
set jit = off
set enable_bitmapscan = off
set enable_nestloop = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
-- A hash that does not fit is joined piece by piece: rows would be locked in the order of these.
set work_mem = '64MB'
as $$
#variable_conflict use_column
declare
  v_now constant timestamptz := chimeway.clock();
begin
  return query
  with reported as materialized (
    select r.delivery_id, r.claim_id, v_now - make_interval(secs => r.started_ago) as started_at,
      v_now - make_interval(secs => r.finished_ago) as finished_at, r.detail, r.status_code,
      r.response, r.provider_message_id, r.retry_after, k.outcome, k.error_class, k.rule,
      r.nth::integer as nth
    from unnest(p_delivery_ids, p_claim_ids, p_kinds, p_started_ago, p_finished_ago, p_details,
        p_status_codes, p_responses, p_provider_message_ids, p_retry_after) with ordinality
      as r (delivery_id, claim_id, kind, started_ago, finished_ago, detail, status_code, response,
        provider_message_id, retry_after, nth)
    -- The first match is the only one: success, the most frequent, is found at the first look.
    cross join lateral (
      select * from chimeway.outcome_kinds() as k where k.kind = r.kind limit 1
    ) as k
    order by r.delivery_id
  ),
  accepted as (
    update chimeway.deliveries as d
    set status = 'succeeded',
      claim_id = null,
      updated_at = v_now,
      finished_at = v_now,
      provider_message_id = r.provider_message_id,
      requested_status = null,
      requested_reason = null
    from reported as r
    where r.rule = 'succeed' and d.id = any (p_delivery_ids)
      and d.id = r.delivery_id and d.claim_id = r.claim_id and d.status = 'dispatched'
    returning r.*, d.status, d.suppression_reason, d.next_attempt_at, d.attempt_count, d.series,
      d.channel, d.priority, d.position, d.lost_count
  ),
  locked as materialized (
    select r as report, d.attempt_count - d.attempts_before as failures, d.max_attempts, d.lost_count,
      d.scheduled_at, d.requested_status, d.requested_reason, d.channel
    from reported as r
    join chimeway.deliveries as d
      on d.id = r.delivery_id and d.claim_id = r.claim_id and d.status = 'dispatched'
    where r.rule <> 'succeed'
      and d.id = any (array(select r.delivery_id from reported as r where r.rule <> 'succeed'))
    for update of d
  ),
  decided as materialized (
    select (l.report).*, n.status as next_status, n.reason, n.next_attempt_at as retry_at
    from locked as l
    join chimeway.channels as c on c.name = l.channel
    cross join lateral (
      -- The first crash says nothing about the delivery or its provider: it goes out again at once.
      select greatest(case when (l.report).outcome = 'lost' and l.lost_count = 0 then interval '0'
          else chimeway.backoff(c, l.failures, random()) end,
        case when (l.report).retry_after is not null
          then least((l.report).retry_after, c.retry_after_cap) end) as wait
      offset 0
    ) as w
    cross join lateral chimeway.decide((l.report).rule, l.failures,
      coalesce(l.max_attempts, c.max_attempts), w.wait, l.scheduled_at + c.max_age,
      c.on_uncertain, l.requested_status, l.requested_reason,
      (l.report).finished_at) as n
  ),
  refused as (
    update chimeway.deliveries as d
    set status = r.next_status,
      claim_id = null,
      updated_at = v_now,
      finished_at = case when r.next_status <> 'failed' then v_now end,
      suppression_reason = r.reason,
      -- Never in the past, where no claim looks: an outcome may have waited long for the database.
      next_attempt_at = case when r.retry_at is not null then greatest(r.retry_at, v_now) end,
      lost_count = d.lost_count + case when r.outcome = 'lost' then 1 else 0 end,
      requested_status = null,
      requested_reason = null
    from decided as r
    where d.id = any (array(select r.delivery_id from decided as r))
      and d.id = r.delivery_id and d.claim_id = r.claim_id
    returning r.delivery_id, r.claim_id, r.started_at, r.finished_at,
      r.detail, r.status_code, r.response, r.provider_message_id, r.retry_after, r.outcome,
      r.error_class, r.rule, r.nth, d.status, d.suppression_reason, d.next_attempt_at,
      d.attempt_count, d.series, d.channel, d.priority, d.position, d.lost_count
  ),
  settled as not materialized (
    select * from accepted
    union all
    select * from refused
  ),
  remembered as (
    insert into chimeway.delivery_attempts
      (delivery_id, attempt_number, series, claim_id, started_at, finished_at, next_attempt_at,
       status_code, retry_after, outcome, error_class, daemon_name, provider_message_id, detail,
       response)
    select s.delivery_id, s.attempt_count, s.series, s.claim_id, s.started_at, s.finished_at,
      s.next_attempt_at, s.status_code, s.retry_after, s.outcome, s.error_class, p_daemon_name,
      s.provider_message_id, s.detail, s.response
    from settled as s
  ),
  queued as (
    insert into chimeway.jobs (delivery_id, due_at, position, priority, is_suspect, channel)
    select s.delivery_id, s.next_attempt_at, s.position, s.priority, s.lost_count >= 2, s.channel
    from refused as s
    where s.status = 'failed'
  ),
  summed as materialized (
    select s.claim_id, s.channel, s.status, count(*) as count
    from settled as s
    group by s.claim_id, s.channel, s.status
  ),
  counted as (
    insert into chimeway.tallies (channel, status, count)
    select s.channel, s.status, sum(s.count)
    from summed as s
    where s.status <> 'failed'
    group by s.channel, s.status
  ),
  done as materialized (
    select s.claim_id, sum(s.count) as count from summed as s group by s.claim_id
  ),
  reduced as (
    update chimeway.claims as k
    set open_count = k.open_count - n.count
    from done as n
    where k.id = any (p_claim_ids) and k.id = n.claim_id and k.open_count > n.count
  ),
  closed as (
    delete from chimeway.claims as k
    using done as n
    where k.id = any (p_claim_ids) and k.id = n.claim_id and k.open_count <= n.count
  )
  select s.nth, s.status, s.suppression_reason, s.attempt_count, s.next_attempt_at
  from settled as s
  union all
  select r.nth, null, null, null, null
  from reported as r
  where coalesce((select sum(n.count) from done as n), 0) < (select count(*) from reported)
    and not exists (select from settled as s where s.nth = r.nth);

  if exists (select from chimeway.channels as c where c.fallback is not null) then
    perform chimeway.fall_back(p_delivery_ids, p_claim_ids);
  end if;
end
$$;

comment on function chimeway.settle(
  uuid[], bigint[], text[], text, double precision[], double precision[], text[], integer[],
  text[], text[], interval[]) is
  'Writes how calls ended, in one statement, and answers for the nth of them: the attempt row, '
  'dispatched -> succeeded, failed (with a new job), suppressed or cancelled, and the claim shrunk '
  'or closed; then the fallbacks of what failed. Locks deliveries by ascending id. A row '
  'whose token is not the given one any more is left alone: its status is null in the answer. The '
  'caller holds the locks of the claims.';

revoke all on function chimeway.settle(
  uuid[], bigint[], text[], text, double precision[], double precision[], text[], integer[],
  text[], text[], interval[]) from public;
