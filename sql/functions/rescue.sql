create or replace function chimeway.rescue(p_limit integer)
returns table (
  delivery_id uuid,
  claim_id bigint,
  daemon_name text,
  status text,
  suppression_reason text,
  attempt_number integer,
  next_attempt_at timestamptz
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_now constant timestamptz := chimeway.clock();
  v_claim record;
  v_free uuid[];
  v_is_any boolean := false;
begin
  for v_claim in
    select k.id, k.daemon_name, k.expires_at, k.delivery_ids
    from chimeway.claims as k
    -- A lease further away than any lease can be comes from a clock that was set back.
    where (k.expires_at <= v_now or k.expires_at > v_now + interval '2 hours')
      -- After a start of the server its daemons are heard again first, and may know the outcomes.
      and not (k.claimed_at < pg_postmaster_start_time()
        and pg_postmaster_start_time() between v_now - interval '5 seconds' and v_now)
    order by k.id
    limit p_limit
    for update skip locked
  loop
    begin
      -- What an operator's transaction holds locked waits for the next sweep, and nobody else for it.
      v_free := array(
        select d.id from chimeway.deliveries as d
        where d.id = any (v_claim.delivery_ids) and d.claim_id = v_claim.id
        order by d.id
        for update skip locked);
      return query
      select v_free[s.nth], v_claim.id, v_claim.daemon_name, s.status,
        s.suppression_reason, s.attempt_number, s.next_attempt_at
      from chimeway.settle(
        v_free,
        array_fill(v_claim.id, array[cardinality(v_free)]),
        array_fill('lost'::text, array[cardinality(v_free)]),
        v_claim.daemon_name,
        null, array_fill(0::double precision, array[cardinality(v_free)]),
        array_fill(format('daemon %s was not heard of after its lease ended at %s; it may have sent',
          v_claim.daemon_name, chimeway.moment(v_claim.expires_at)), array[cardinality(v_free)]),
        null, null, null, null) as s
      where s.status is not null;
      v_is_any := v_is_any or found;

      -- Whatever it still says it holds, nothing is dispatched under it any more.
      delete from chimeway.claims as k
      where k.id = v_claim.id and not exists (
        select from chimeway.deliveries as d
        where d.id = any (k.delivery_ids) and d.claim_id = k.id);
    exception when others then
      -- No function of chimeway leaves such a delivery behind; it must not stop all rescues.
      raise warning 'chimeway.rescue: claim % of daemon % cannot be ended: %', v_claim.id,
        v_claim.daemon_name, sqlerrm;
    end;
  end loop;

  if v_is_any then
    perform chimeway.ring();
  end if;
end
$$;

comment on function chimeway.rescue(integer) is
  'Ends claims whose lease ran out, p_limit at most: each delivery still dispatched under one gets '
  'an attempt with outcome lost, and is retried, held (cancelled / outcome_unknown) or exhausted by '
  'its channel''s policy. What somebody holds locked, or cannot be ended, waits for the next call. '
  'Rings. Locks claims, then deliveries, skipping locked ones.';

revoke all on function chimeway.rescue(integer) from public;
