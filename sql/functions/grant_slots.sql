create or replace function chimeway.grant_slots(
  p_channels text[],
  p_slots integer[],
  p_now timestamptz
)
returns integer[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_rated text[];
  v_retried text[];
  v_now timestamptz;
begin
  -- Who counts on the same calls waits until this claim has paid for its own; who is late for the
  -- same probe goes without.
  v_rated := array(
    select r.channel from chimeway.rates as r
    where r.channel = any (p_channels) and chimeway.free_calls(r, p_now) > 0
    order by r.channel
    for update);
  v_retried := array(
    select b.channel from chimeway.breakers as b
    where b.channel = any (p_channels) and b.retry_at <= p_now
    order by b.channel
    for update skip locked);

  -- Read anew: others may have paid at a later time than p_now, and for that time more than can be
  -- owed at p_now.
  v_now := chimeway.clock();
  -- A statement of its own: it sees what others did before these locks were had.
  return array(
    select least(w.slots, case
        when r.channel = any (v_rated) then chimeway.free_calls(r, v_now)
        when r.channel is not null then 0 end, case
        when b.channel = any (v_retried) and not chimeway.is_probing(b) then 1
        when b.channel is not null then 0 end)
    from unnest(p_channels, p_slots) with ordinality as w (channel, slots, turn)
    left join chimeway.rates as r on r.channel = w.channel
    left join chimeway.breakers as b on b.channel = w.channel
    order by w.turn);
end
$$;

comment on function chimeway.grant_slots(text[], integer[], timestamptz) is
  'What is left of the slots for a claim: no more than a channel''s rate has calls free, none while '
  'its breaker is open, one when that may be tried again. spend_slots says what became of them, in '
  'the same transaction. Locks rates, then breakers (skipping locked ones).';

revoke all on function chimeway.grant_slots(text[], integer[], timestamptz) from public;
