create or replace function chimeway.expire(p_since timestamptz, p_limit integer)
returns table (delivery_id uuid, channel text)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
#variable_conflict use_column
declare
  v_now constant timestamptz := chimeway.clock();
  v_late record;
begin
  -- A served channel's claim does the same earlier; this finds what waits for something else.
  for v_late in
    select d.id
    from chimeway.deliveries as d
    where d.expires_at between p_since and v_now and d.status in ('pending', 'failed')
      -- What somebody holds locked, or has no job, must not keep the others waiting.
      and exists (
        select from chimeway.jobs as j
        where j.channel = d.channel and j.priority = d.priority and j.due_at = any (array[
            '-infinity', 'infinity', coalesce(d.next_attempt_at, d.scheduled_at)])
          and j.position = d.position
        for update of j skip locked)
    order by d.expires_at desc
    limit p_limit
  loop
    if chimeway.end_waiting(v_late.id, 'cancelled', 'expired', v_now) then
      insert into chimeway.delivery_events (delivery_id, happened_at, event, actor, reason)
      values (v_late.id, v_now, 'expired', 'sweep', 'expired');
      return query
      select d.id, d.channel from chimeway.deliveries as d where d.id = v_late.id;
    end if;
  end loop;
end
$$;

comment on function chimeway.expire(timestamptz, integer) is
  'Ends deliveries that still wait after their expires_at, if that is p_since or later, p_limit at '
  'most: pending, failed -> cancelled / expired, without a call. Locks jobs (skipping '
  'locked ones), then deliveries, one at a time.';

revoke all on function chimeway.expire(timestamptz, integer) from public;
