create or replace function chimeway.record(
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
#variable_conflict use_column
declare
  v_now constant timestamptz := chimeway.clock();
  v_answers bigint;
  v_unknown text;
begin
  perform chimeway.lock_claims(p_claim_ids);

  return query
  select s.nth, coalesce(late.verdict, 'applied'), coalesce(s.status, late.status),
    coalesce(s.suppression_reason, late.suppression_reason), s.next_attempt_at
  from chimeway.settle(p_delivery_ids, p_claim_ids, p_kinds, p_daemon_name, p_started_ago,
    p_finished_ago, p_details, p_status_codes, p_responses, p_provider_message_ids,
    p_retry_after) as s
  left join lateral (
    select chimeway.record_late(p_daemon_name, p_delivery_ids[s.nth], p_claim_ids[s.nth],
        p_kinds[s.nth], v_now - make_interval(secs => p_finished_ago[s.nth]), p_details[s.nth],
        p_status_codes[s.nth]) as verdict,
      d.status, d.suppression_reason
    from (select) as one
    left join chimeway.deliveries as d on d.id = p_delivery_ids[s.nth]
    where s.status is null
  ) as late on true;

  -- settle passes over a kind that it does not know.
  get diagnostics v_answers = row_count;
  if v_answers <> cardinality(p_delivery_ids) then
    select coalesce(t.kind, 'null') into v_unknown
    from unnest(p_kinds) as t (kind)
    where not exists (select from chimeway.outcome_kinds() as k where k.kind = t.kind);
    if found then
      raise exception 'chimeway.record: % is no kind of outcome', v_unknown
        using errcode = 'NC003';
    end if;
  end if;

  if exists (select from chimeway.breakers as b where b.probe_claim_id = any (p_claim_ids)) then
    perform chimeway.judge_probes(p_delivery_ids, p_claim_ids, p_kinds);
  end if;

  if 'unsubscribed' = any (p_kinds) then
    perform chimeway.suppress_recipients(p_delivery_ids, p_kinds);
  end if;
end
$$;

comment on function chimeway.record(
  text, uuid[], bigint[], text[], double precision[], double precision[], text[], integer[],
  text[], text[], interval[]) is
  'Records how calls ended: dispatched -> succeeded, failed, suppressed or cancelled. One verdict '
  'for the nth of them: applied; already_applied (a repeat of a record whose commit was not heard); '
  'stale (the token is not the row''s any more: the outcome goes to the history as late, the state stays); or '
  'gone (the row was deleted). NC003: an unknown kind; nothing of the batch is recorded. '
  'p_started_ago and p_finished_ago are seconds before this call. Locks claims, then deliveries, then breakers, then suppressions.';

revoke all on function chimeway.record(
  text, uuid[], bigint[], text[], double precision[], double precision[], text[], integer[],
  text[], text[], interval[]) from public;
