create or replace function chimeway.open_breaker(
  p_channel text,
  p_reason text,
  p_daemon_name text,
  p_first_wait interval,
  p_longest_wait interval,
  p_claim_ids bigint[]
)
returns table (changed boolean, retry_at timestamptz)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_now constant timestamptz := chimeway.clock();
begin
  insert into chimeway.breakers as b
    (channel, opened_at, opened_by, reason, retry_at, first_wait, longest_wait)
  values (p_channel, v_now, p_daemon_name, p_reason, v_now + p_first_wait, p_first_wait,
    p_longest_wait)
  on conflict (channel) do nothing;
  if found then
    return query select true, v_now + p_first_wait;
    return;
  end if;

  -- While it is open, only its probe says anything new: the calls that were under way when it
  -- opened fail as well.
  update chimeway.breakers as b
  set reason = p_reason, failed_probes = b.failed_probes + 1,
    retry_at = v_now + chimeway.breaker_wait(b), probe_claim_id = null, probe_delivery_id = null
  where b.channel = p_channel and b.probe_claim_id = any (p_claim_ids);
  return query
  select found, b.retry_at from chimeway.breakers as b where b.channel = p_channel;
end
$$;

comment on function chimeway.open_breaker(text, text, text, interval, interval, bigint[]) is
  'Opens a channel''s breaker: no claim takes anything of it until retry_at. One that is open stays '
  'as it is, unless one of these claims holds its probe, which has failed then. Locks the breaker.';

revoke all on function
  chimeway.open_breaker(text, text, text, interval, interval, bigint[]) from public;
