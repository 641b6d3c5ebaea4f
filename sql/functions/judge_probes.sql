create or replace function chimeway.judge_probes(
  p_delivery_ids uuid[],
  p_claim_ids bigint[],
  p_kinds text[]
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now constant timestamptz := chimeway.clock();
  v_count bigint;
begin
  with probes as (
    select b.channel, b.probe_claim_id, r.kind
    from unnest(p_delivery_ids, p_claim_ids, p_kinds)
      as r (delivery_id, claim_id, kind)
    join chimeway.breakers as b
      on b.probe_delivery_id = r.delivery_id and b.probe_claim_id = r.claim_id
  ),
  failed as (
    update chimeway.breakers as b
    set failed_probes = b.failed_probes + 1, retry_at = v_now + chimeway.breaker_wait(b),
      probe_claim_id = null, probe_delivery_id = null
    from probes as p
    -- By the claim, too: who waited for the row may find that another probe has followed a lost one.
    -- A recipient who refuses says that the provider works (chimewayd/failure_window.py says it, too).
    where b.channel = p.channel and b.probe_claim_id = p.probe_claim_id
      and p.kind not in ('succeeded', 'permanent', 'bounced', 'unsubscribed')
  ),
  closed as (
    delete from chimeway.breakers as b
    using probes as p
    where b.channel = p.channel and b.probe_claim_id = p.probe_claim_id
      and p.kind in ('succeeded', 'permanent', 'bounced', 'unsubscribed')
  )
  select count(*) into v_count from probes;

  -- Nobody else rings for what has been due for long, and whoever sleeps must reckon again.
  if v_count > 0 then
    perform chimeway.notify_daemons();
  end if;
end
$$;

comment on function chimeway.judge_probes(uuid[], bigint[], text[]) is
  'What the outcome of a probe does to its breaker: closed if the provider answered, else open for '
  'twice as long as before. Any other outcome does nothing. Locks breakers, last of all.';

revoke all on function chimeway.judge_probes(uuid[], bigint[], text[]) from public;
