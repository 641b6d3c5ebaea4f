create or replace function chimeway.find_stranded(p_limit integer)
returns table (delivery_id uuid, problem text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
  select found.delivery_id, found.problem
  from (
    select d.id as delivery_id, d.status || ', and no job waits for its turn' as problem
    from chimeway.deliveries as d
    where d.status in ('pending', 'failed')
      and not exists (select from chimeway.jobs as j where j.delivery_id = d.id)
    union all
    select d.id, format('dispatched under claim %s, which does not exist', d.claim_id)
    from chimeway.deliveries as d
    where d.status = 'dispatched' and not exists (
      select from chimeway.claims as k
      where k.id = d.claim_id and d.id = any (k.delivery_ids))
    union all
    select j.delivery_id, coalesce(d.status, 'no such delivery') || ', and a job waits for its turn'
    from chimeway.jobs as j
    left join chimeway.deliveries as d on d.id = j.delivery_id
    where coalesce(d.status, '') not in ('pending', 'failed')
    union all
    select j.delivery_id, format('%s jobs wait for its turn', count(*))
    from chimeway.jobs as j
    group by j.delivery_id
    having count(*) > 1
  ) as found
  order by found.delivery_id
  limit p_limit
$$;

comment on function chimeway.find_stranded(integer) is
  'Deliveries that nothing moves on, or that would be sent twice, p_limit at most: none, unless '
  'somebody went past the functions. Reads all of deliveries and jobs.';

revoke all on function chimeway.find_stranded(integer) from public;
