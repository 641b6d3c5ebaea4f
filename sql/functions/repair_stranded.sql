create or replace function chimeway.repair_stranded(p_delivery_id uuid)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_old record;
  v_done text;
begin
  -- Claims, then jobs, then deliveries: the lock order. A claim that names the delivery is in order, and
  -- not locked: nothing under it could be recorded, and its lease not be extended, until our commit.
  perform from chimeway.claims as k
  where k.id = (select d.claim_id from chimeway.deliveries as d where d.id = p_delivery_id)
    and p_delivery_id <> all (k.delivery_ids)
  for update;
  perform from chimeway.jobs as j where j.delivery_id = p_delivery_id for update;
  select d.status, d.claim_id, d.channel, d.priority, d.position, d.lost_count,
    coalesce(d.next_attempt_at, d.scheduled_at) as due_at
  into v_old
  from chimeway.deliveries as d
  where d.id = p_delivery_id
  for update;

  if not found or v_old.status not in ('pending', 'failed') then
    delete from chimeway.jobs as j where j.delivery_id = p_delivery_id;
    if found then
      v_done := 'took away its job';
    end if;
  else
    delete from chimeway.jobs as j
    where j.delivery_id = p_delivery_id and j.ctid <> (
      select min(first.ctid) from chimeway.jobs as first where first.delivery_id = p_delivery_id);
    if found then
      v_done := 'took away all jobs but one';
    end if;
    if not exists (select from chimeway.jobs as j where j.delivery_id = p_delivery_id) then
      insert into chimeway.jobs (delivery_id, due_at, position, priority, is_suspect, channel)
      values (p_delivery_id,
        -- A suspect is found by its due time alone, however long ago that was; whoever steps in
        -- finds a job by the row's.
        case when v_old.due_at > chimeway.clock() or v_old.lost_count >= 2 then v_old.due_at
          else '-infinity' end,
        v_old.position, v_old.priority, v_old.lost_count >= 2, v_old.channel);
      v_done := 'queued it';
    end if;
  end if;

  -- What was in flight may have been sent: a claim that ran out makes rescue decide by the policy.
  if v_old.status = 'dispatched' and not exists (
      select from chimeway.claims as k
      where k.id = v_old.claim_id and p_delivery_id = any (k.delivery_ids)) then
    insert into chimeway.claims as k
      (id, daemon_id, daemon_name, claimed_at, expires_at, open_count, delivery_ids)
    values (v_old.claim_id, 0, 'unknown', chimeway.clock(), chimeway.clock(), 1,
      array[p_delivery_id])
    on conflict (id) do update set
      open_count = k.open_count + 1, delivery_ids = k.delivery_ids || p_delivery_id;
    v_done := 'gave it a claim that ran out: the sweep records its call as lost';
  end if;
  return v_done;
end
$$;

comment on function chimeway.repair_stranded(uuid) is
  'Gives a delivery what moves it on: the one job it lacks, or a claim that ran out, for rescue to '
  'end; takes away jobs that must not be. Says what was done; null: nothing was wrong. Locks the '
  'claim, unless it is in order, then jobs, then the delivery.';

revoke all on function chimeway.repair_stranded(uuid) from public;
