create or replace function chimeway.claim(
  p_daemon_id bigint,
  p_daemon_name text,
  p_channels text[],
  p_slots integer[],
  p_limit integer,
  p_lease interval,
  p_arm boolean,
  p_takes_suspect boolean
)
returns table (
  delivery_id uuid,
  claim_id bigint,
  attempt_number integer,
  channel text,
  recipient text,
  payload_json text,
  tenant_id text,
  notification_key text,
  correlation_id text,
  idempotency_key text,
  metadata_json text,
  max_attempts integer,
  attempts_before integer,
  lost_count integer,
  waited_seconds double precision
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
-- The statistics of a queue are of another moment: these plans are right at any size. Without a
-- sort the queue's head can only be had by walking its index.
set enable_seqscan = off
set jit = off
set enable_sort = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  v_now timestamptz;
  v_ids uuid[];
  v_refused uuid[];
  v_reasons text[];
  v_claim_id bigint;
  v_floors jsonb;
  v_is_full boolean;
  v_levels jsonb;
  v_slots integer[] := p_slots;
  v_is_limited boolean;
  v_turn constant integer := coalesce(nullif(current_setting('chimeway.turn', true), ''), '0');
  -- Neither a flood of inserts nor one of retries may keep the other from its turn.
  v_starts_with_later constant boolean := v_turn = 3;
begin
  perform set_config('chimeway.turn', ((v_turn + 1) % 4)::text, false);
  if p_arm then
    -- Before the statements below take their snapshot: what begins from here on rings.
    perform chimeway.arm_bell();
  end if;
  v_now := chimeway.clock();

  -- Where the last claim of this session ended: behind it are dead rows, and now and then a late
  -- commit, for which a full look starts at the very front again.
  v_floors := chimeway.claim_floors(v_now, p_arm);
  v_is_full := (v_floors -> 'is_full')::boolean;
  if p_arm and not v_is_full then
    -- What was under way when the bell was armed before may have ended in front of the floors.
    perform set_config('chimeway.is_expecting', 'true', false);
  end if;

  v_is_limited := exists (
    select from chimeway.rates as r where r.channel = any (p_channels)
    union all
    select from chimeway.breakers as b where b.channel = any (p_channels));
  if v_is_limited then
    v_slots := chimeway.grant_slots(p_channels, p_slots, v_now);
  end if;

  with recursive served as materialized (
    select w.channel, w.slots, w.turn
    from unnest(p_channels, v_slots) with ordinality as w (channel, slots, turn)
    join chimeway.channels as c on c.name = w.channel and c.paused_at is null
  ),
  suspect as materialized (
    -- What was in hand whenever a daemon died is never in hand together: the others of such a
    -- batch are not lost again with the one that kills.
    select j.ctid as row_id, j.channel
    from chimeway.jobs as j
    join served as s on s.channel = j.channel and s.slots > 0
    where p_takes_suspect and j.is_suspect and j.due_at <= v_now
    order by j.due_at, j.position
    limit least(p_limit, 1)
    for update of j skip locked
  ),
  wanted as materialized (
    select s.channel, s.slots - (
        select count(*) from suspect as one where one.channel = s.channel)::integer as slots, s.turn
    from served as s
  ),
  known as materialized (
    select f.channel, f.priority, f.position, f.due_at
    from jsonb_to_recordset(v_floors -> 'levels') as f
      (channel text, priority smallint, position bigint, due_at timestamptz)
    join wanted as w on w.channel = f.channel
  ),
  gaps as materialized (
    -- Between the priorities that are known, others may have come into use.
    select k.channel, k.priority as above,
      lead(k.priority) over (partition by k.channel order by k.priority) as below
    from known as k
    union all
    select w.channel, null, (select min(k.priority) from known as k where k.channel = w.channel)
    from wanted as w
  ),
  found as (
    -- One index probe a new priority, however many jobs it has.
    select g.channel, g.below, first.priority
    from gaps as g
    cross join lateral (
      select j.priority from chimeway.jobs as j
      where j.channel = g.channel
        and j.priority > coalesce(g.above, -32768) and j.priority < coalesce(g.below, 32767)
      order by j.priority limit 1
    ) as first
    union all
    select f.channel, f.below, further.priority
    from found as f
    cross join lateral (
      select j.priority from chimeway.jobs as j
      where j.channel = f.channel
        and j.priority > f.priority and j.priority < coalesce(f.below, 32767)
      order by j.priority limit 1
    ) as further
  ),
  levels as materialized (
    select k.channel, k.priority, k.position, k.due_at from known as k
    union all
    select f.channel, f.priority, null, null from found as f
  ),
  due as materialized (
    select picked.*
    from (select * from wanted order by turn) as w
    cross join lateral (
      select job.row_id, w.channel, level.priority, job.position, job.due_at
      from (
        select l.priority,
          case when v_is_full then 0 else coalesce(l.position, 0) end as position,
          case when v_is_full then '-infinity' else coalesce(l.due_at, '-infinity') end as due_at
        from levels as l
        where l.channel = w.channel
        order by 1
      ) as level
      cross join lateral (
        select * from (
          select j.ctid as row_id, null::bigint as position, j.due_at
          from chimeway.jobs as j
          where j.channel = w.channel and j.priority = level.priority
            and j.due_at > '-infinity' and j.due_at >= level.due_at and j.due_at <= v_now
            and not j.is_suspect
          order by j.due_at, j.position
          limit case when v_starts_with_later then w.slots else 0 end
          for update skip locked
        ) as later_first
        union all
        select * from (
          select j.ctid, j.position, null::timestamptz
          from chimeway.jobs as j
          where j.channel = w.channel and j.priority = level.priority
            and j.due_at = '-infinity' and j.position > level.position
          order by j.position
          limit w.slots
          for update skip locked
        ) as at_once
        union all
        select * from (
          select j.ctid, null::bigint, j.due_at
          from chimeway.jobs as j
          where j.channel = w.channel and j.priority = level.priority
            and j.due_at > '-infinity' and j.due_at >= level.due_at and j.due_at <= v_now
            and not j.is_suspect
          order by j.due_at, j.position
          limit case when not v_starts_with_later then w.slots else 0 end
          for update skip locked
        ) as later_last
      ) as job
      limit w.slots
    ) as picked
    limit p_limit - (select count(*) from suspect)
  ),
  taken as (
    delete from chimeway.jobs as j
    where j.ctid = any (array(
      select d.row_id from due as d union all select one.row_id from suspect as one))
    returning j.delivery_id
  )
  select (select array_agg(t.delivery_id) from taken as t),
    (select jsonb_agg(jsonb_build_object('channel', l.channel, 'priority', l.priority,
        'position', greatest(l.position, d.position),
        -- A floor that the clock has not come to is of before it went back.
        'due_at', greatest(case when l.due_at <= v_now then l.due_at end, d.due_at)))
      from levels as l
      join wanted as w on w.channel = l.channel and (w.slots > 0 or not v_is_full)
      left join (
        select d.channel, d.priority, max(d.position) as position, max(d.due_at) as due_at
        from due as d
        group by d.channel, d.priority
      ) as d on d.channel = l.channel and d.priority = l.priority)
  into v_ids, v_levels;
  perform chimeway.keep_claim_floors(v_floors, v_levels, p_channels, v_now);

  if v_ids is null then
    return;
  end if;
  v_claim_id := nextval('chimeway.claim_ids');

  select array_agg(r.delivery_id), array_agg(r.reason) into v_refused, v_reasons
  from chimeway.refuse_by_policy(v_ids, p_channels, v_now) as r;

  return query
  with judged as (
    update chimeway.deliveries as d
    set status = case
        when d.expires_at <= v_now then 'cancelled'
        when d.id = any (v_refused) then 'suppressed'
        else 'dispatched' end,
      suppression_reason = case
        when d.expires_at <= v_now then 'expired'
        else v_reasons[array_position(v_refused, d.id)] end,
      finished_at = case
        when d.expires_at <= v_now or d.id = any (v_refused) then v_now end,
      claim_id = case
        when d.expires_at <= v_now or d.id = any (v_refused) then null else v_claim_id end,
      attempt_count = d.attempt_count + case
        when d.expires_at <= v_now or d.id = any (v_refused) then 0 else 1 end,
      next_attempt_at = null,
      updated_at = v_now
    where d.id = any (v_ids) and d.status in ('pending', 'failed')
    returning d.id, d.claim_id, d.attempt_count, d.status, d.suppression_reason, d.channel,
      d.recipient, d.payload::text as payload_json, d.tenant_id, d.notification_key,
      d.correlation_id, d.idempotency_key, d.metadata::text as metadata_json, d.max_attempts,
      d.attempts_before, d.lost_count, d.priority, d.position,
      greatest(date_part('epoch', v_now - greatest(d.inserted_at, d.scheduled_at)), 0) as waited
  ),
  held as (
    insert into chimeway.claims
      (id, daemon_id, daemon_name, claimed_at, expires_at, open_count, delivery_ids)
    select v_claim_id, p_daemon_id, p_daemon_name, v_now, v_now + p_lease,
      count(*), array_agg(j.id)
    from judged as j
    where j.status = 'dispatched'
    having count(*) > 0
  ),
  ended as (
    insert into chimeway.delivery_events (delivery_id, happened_at, event, actor, reason)
    select j.id, v_now,
      case j.status when 'cancelled' then 'expired' else j.status end,
      'daemon ' || p_daemon_name, j.suppression_reason
    from judged as j
    where j.status <> 'dispatched'
  ),
  counted as (
    insert into chimeway.tallies (channel, status, count)
    select j.channel, j.status, count(*)
    from judged as j
    where j.status <> 'dispatched'
    group by j.channel, j.status
  )
  select j.id, j.claim_id, j.attempt_count, j.channel, j.recipient, j.payload_json,
    j.tenant_id, j.notification_key, j.correlation_id, j.idempotency_key, j.metadata_json,
    j.max_attempts::integer, j.attempts_before, j.lost_count, j.waited
  from judged as j
  where j.status = 'dispatched'
  order by (j.priority::bigint << 48) + j.position;  -- both as one number, which sorts quicker

  if not found then
    -- What policy refused is not the end of the queue: look again soon.
    perform set_config('chimeway.is_expecting', 'true', false);
  elsif v_is_limited then
    perform chimeway.spend_slots(v_claim_id, v_ids, v_now);
  end if;
end
$$;

comment on function chimeway.claim(bigint, text, text[], integer[], integer, interval, boolean, boolean) is
  'Claims due deliveries under one lease: pending, failed -> dispatched, attempt_count + 1. At most '
  'p_slots[i] of p_channels[i] and p_limit in all, by priority, due time and order of insertion (one '
  'claim in four takes what fell due later before what was due at once); '
  'channels that are paused or not configured are passed over, and no more is taken than their '
  'rates and breakers allow. Judges policy too: expired -> '
  'cancelled, refused -> suppressed, without a call; those are not returned. waited_seconds counts '
  'from scheduled_at or inserted_at, whichever is later. Of deliveries that were lost twice it takes one, and only if p_takes_suspect. p_arm arms the '
  'doorbell first. What a late commit puts before the session''s floors is seen by the next full '
  'look: an arming one, or the first after a second. Locks jobs (skipping locked ones), then deliveries. Call it again at once after '
  'a full batch.';

revoke all on function
  chimeway.claim(bigint, text, text[], integer[], integer, interval, boolean, boolean) from public;
