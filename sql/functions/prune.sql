create or replace function chimeway.prune(
  p_daemon_id bigint,
  p_after uuid,
  p_limit integer,
  p_is_dry_run boolean default false
)
returns table (next_after uuid, looked_at integer, redacted integer, deleted integer)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
#variable_conflict use_column
declare
  c_first constant uuid := '00000000-0000-0000-0000-000000000000';
  c_last constant uuid := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
  v_now constant timestamptz := chimeway.clock();
  v_youngest constant interval := (
    select min(least(c.redact_after, c.delete_after)) from chimeway.channels as c);
  -- Ids are ordered by time: between these two is what is too young, or was given by a producer
  -- who makes ids in that way too.
  v_old constant uuid := chimeway.id_at(v_now - v_youngest);
  v_future constant uuid := chimeway.id_at(v_now + interval '1 day');
  v_after uuid := coalesce(p_after, c_first);
  v_upto uuid;
  v_last uuid;
  v_to_delete uuid[];
  v_to_redact uuid[];
begin
  looked_at := 0;
  redacted := 0;
  deleted := 0;
  -- One daemon does it, the first that lives: two would walk twice for the same.
  if v_youngest is null or exists (
      select from chimeway.daemons as d
      where d.id < p_daemon_id and d.heartbeat_at > v_now - interval '30 seconds') then
    return next;
    return;
  end if;

  if v_after < v_old then
    v_upto := v_old;
  else
    v_after := greatest(v_after, v_future);
    v_upto := c_last;
  end if;

  with page as materialized (
    select d.id, d.channel, d.finished_at, d.redacted_at
    from chimeway.deliveries as d
    where d.id >= v_after and d.id is distinct from p_after and d.id <= v_upto
    order by d.id
    limit p_limit
  )
  select count(*), (array_agg(p.id order by p.id desc))[1],
    array_agg(p.id order by p.id) filter (where p.finished_at <= v_now - c.delete_after),
    array_agg(p.id order by p.id) filter (where p.redacted_at is null
      and p.finished_at <= v_now - c.redact_after
      and (p.finished_at <= v_now - c.delete_after) is not true)
  into looked_at, v_last, v_to_delete, v_to_redact
  from page as p
  left join chimeway.channels as c on c.name = p.channel;

  next_after := case
    when looked_at = p_limit then v_last
    when v_upto < c_last then v_future
  end;
  if p_is_dry_run then
    redacted := coalesce(cardinality(v_to_redact), 0);
    deleted := coalesce(cardinality(v_to_delete), 0);
  else
    redacted := chimeway.redact(v_to_redact);
    deleted := chimeway.remove(v_to_delete);
  end if;
  return next;
end
$$;

comment on function chimeway.prune(bigint, uuid, integer, boolean) is
  'One step of retention: looks at the next p_limit deliveries by id after p_after (null: from the '
  'first) that may be old enough, and redacts and deletes those that are, by their channels'' ages. '
  'next_after is where the next step begins; null: that was the last one. p_daemon_id: nothing is '
  'done while an earlier daemon lives; null: at any rate. Locks deliveries, skipping locked ones.';

revoke all on function chimeway.prune(bigint, uuid, integer, boolean) from public;
