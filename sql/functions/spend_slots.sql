create or replace function chimeway.spend_slots(
  p_claim_id bigint,
  p_delivery_ids uuid[],
  p_now timestamptz
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
declare
  -- Not p_now: the calls were counted later (grant_slots).
  v_now constant timestamptz := chimeway.clock();
begin
  -- What the policy ended without a call is not among them.
  with claimed as materialized (
    select d.channel, count(*) as calls, (array_agg(d.id))[1] as delivery_id
    from chimeway.deliveries as d
    where d.id = any (p_delivery_ids) and d.claim_id = p_claim_id
    group by d.channel
  ),
  paid as (
    update chimeway.rates as r
    set paid_until = v_now + chimeway.owed_time(r, v_now) + c.calls * r.gap
    from claimed as c
    where r.channel = c.channel
  )
  update chimeway.breakers as b
  set probe_claim_id = p_claim_id, probe_delivery_id = c.delivery_id
  from claimed as c
  -- One that opened during this claim let nothing through: these calls are no probe.
  where b.channel = c.channel and b.retry_at <= p_now;
end
$$;

comment on function chimeway.spend_slots(bigint, uuid[], timestamptz) is
  'Second half of grant_slots: what a claim took is paid for, and a breaker''s one delivery becomes '
  'its probe. Locks rates and breakers, which the claim holds already.';

revoke all on function chimeway.spend_slots(bigint, uuid[], timestamptz) from public;
