create or replace function chimeway.fall_back(p_delivery_ids uuid[], p_claim_ids bigint[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
declare
  v_now constant timestamptz := chimeway.clock();
begin
  with failed as materialized (
    select d as origin, c.fallback as channel, chimeway.fallback_of(d, c.fallback) as made
    from unnest(p_delivery_ids, p_claim_ids) as r (delivery_id, claim_id)
    join chimeway.deliveries as d on d.id = r.delivery_id
    join chimeway.channels as c on c.name = d.channel
    -- The call that ended it: a record that is repeated or late, or an end that an operator put
    -- into the same words, is none.
    join chimeway.delivery_attempts as a
      on a.delivery_id = d.id and a.attempt_number = d.attempt_count and a.claim_id = r.claim_id
    where d.status = 'cancelled' and a.next_attempt_at is null and c.fallback is not null
      and d.suppression_reason in ('permanent_failure', 'bounced', 'retries_exhausted')
      and not exists (select from chimeway.fallbacks as f where f.origin_id = d.id)
      -- Somebody said during the call that nothing more is to be sent.
      and not exists (
        select from chimeway.delivery_events as e
        where e.delivery_id = d.id and e.event in ('cancel_requested', 'suppress_requested')
          and e.id > coalesce((
            select max(r.id) from chimeway.delivery_events as r
            where r.delivery_id = d.id and r.event = 'replayed'), 0))
  ),
  judged as materialized (
    select f.*, case when exists (
        select from chimeway.fallback_chain((f.origin).id) as c where c.channel = f.channel)
      then format('channel %s has had its turn', f.channel)
      else chimeway.broken_rule(f.made) end as problem
    from failed as f
  ),
  linked as (
    insert into chimeway.fallbacks (origin_id, delivery_id)
    select (j.origin).id, (j.made).id from judged as j
    where j.problem is null
    on conflict do nothing
    returning delivery_id
  ),
  sent as (
    insert into chimeway.deliveries
      (id, channel, recipient, payload, priority, expires_at, tenant_id, notification_key,
       correlation_id, metadata)
    select (j.made).id, (j.made).channel, (j.made).recipient, (j.made).payload,
      (j.made).priority, (j.made).expires_at, (j.made).tenant_id, (j.made).notification_key,
      (j.made).correlation_id, (j.made).metadata
    from judged as j
    join linked as l on l.delivery_id = (j.made).id
  )
  insert into chimeway.delivery_events (delivery_id, happened_at, event, actor, reason)
  select (j.origin).id, v_now, 'fallback_refused', 'chimeway', j.problem
  from judged as j
  where j.problem is not null and not exists (
    select from chimeway.delivery_events as e
    where e.delivery_id = (j.origin).id and e.event = 'fallback_refused');
end
$$;

comment on function chimeway.fall_back(uuid[], bigint[]) is
  'Makes a delivery on the fallback channel for each of those whose call, just recorded, ended it as '
  'permanent_failure, bounced or retries_exhausted: (new) -> pending, once for each origin, ever. '
  'One whose row would break a rule, or that would go to a channel of its chain again, is refused in '
  'the history. Inserts only; the caller holds the locks.';

revoke all on function chimeway.fall_back(uuid[], bigint[]) from public;
