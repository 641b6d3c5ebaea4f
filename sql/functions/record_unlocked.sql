create or replace function chimeway.record_unlocked(
  p_daemon_name text,
  p_delivery_ids uuid[],
  p_claim_ids bigint[],
  p_kinds text[],
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
  verdict text,
  status text,
  suppression_reason text,
  next_attempt_at timestamptz
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_free uuid[];
  v_locked uuid[];
begin
  -- Claims before deliveries, as everywhere; nobody but us ever locks those for long.
  perform chimeway.lock_claims(p_claim_ids);
  v_free := array(
    select d.id from chimeway.deliveries as d
    where d.id = any (p_delivery_ids)
    order by d.id
    for update skip locked);
  v_locked := array(
    select d.id from chimeway.deliveries as d
    where d.id = any (p_delivery_ids) and d.id <> all (v_free));

  -- A recipient in suppressions cannot be locked ahead, for the row may not be there yet. Who finds
  -- theirs locked keeps those waiting who unsubscribed as well, and nobody else.
  for v_look in 1 .. 2 loop
    begin
      return query
      select free.nths[r.nth], r.verdict, r.status, r.suppression_reason, r.next_attempt_at
      from (
        select array_agg(t.nth::integer) as nths, array_agg(t.delivery_id) as delivery_ids,
          array_agg(t.claim_id) as claim_ids, array_agg(t.kind) as kinds, array_agg(t.started_ago) as started_ago,
          array_agg(t.finished_ago) as finished_ago, array_agg(t.detail) as details,
          array_agg(t.status_code) as status_codes, array_agg(t.response) as responses,
          array_agg(t.provider_message_id) as provider_message_ids,
          array_agg(t.retry_after) as retry_after
        from unnest(p_delivery_ids, p_claim_ids, p_kinds, p_started_ago, p_finished_ago, p_details,
            p_status_codes, p_responses, p_provider_message_ids, p_retry_after) with ordinality
          as t (delivery_id, claim_id, kind, started_ago, finished_ago, detail, status_code, response,
            provider_message_id, retry_after, nth)
        where t.delivery_id <> all (v_locked)
          and (v_look = 1 or t.kind is distinct from 'unsubscribed')
      ) as free
      cross join lateral chimeway.record(p_daemon_name, free.delivery_ids, free.claim_ids, free.kinds,
        free.started_ago, free.finished_ago, free.details, free.status_codes, free.responses,
        free.provider_message_ids, free.retry_after) as r
      where free.delivery_ids is not null;
      return;
    exception when lock_not_available then
      if v_look = 2 then
        raise;
      end if;
    end;
  end loop;
end
$$;

comment on function chimeway.record_unlocked(
  text, uuid[], bigint[], text[], double precision[], double precision[], text[], integer[],
  text[], text[], interval[]) is
  'Records as record does, and waits for no delivery: those that somebody else holds locked are left '
  'out, and have no verdict; so do those who unsubscribed while somebody holds one of their rows in '
  'suppressions. For a batch that record could not lock. Locks claims, then deliveries.';

revoke all on function chimeway.record_unlocked(
  text, uuid[], bigint[], text[], double precision[], double precision[], text[], integer[],
  text[], text[], interval[]) from public;
