-- One row a problem: none while no delivery is stranded, doubled or miscounted.
with jobs as (
  select j.delivery_id, count(*) as count from chimeway.jobs as j group by j.delivery_id
),
attempts as (
  select a.delivery_id, array_agg(a.attempt_number order by a.attempt_number) as numbers
  from chimeway.delivery_attempts as a
  group by a.delivery_id
),
flying as (
  select d.claim_id, count(*) as count
  from chimeway.deliveries as d
  where d.status = 'dispatched'
  group by d.claim_id
)
select format('%s is %s and has %s jobs', d.id, d.status, coalesce(j.count, 0))
from chimeway.deliveries as d
left join jobs as j on j.delivery_id = d.id
where coalesce(j.count, 0) <> case when d.status in ('pending', 'failed') then 1 else 0 end
union all
select format('a job of %s, which does not exist', j.delivery_id)
from jobs as j
where not exists (select from chimeway.deliveries as d where d.id = j.delivery_id)
union all
select format('%s is dispatched under claim %s, which does not list it', d.id, d.claim_id)
from chimeway.deliveries as d
where d.status = 'dispatched' and not exists (
  select from chimeway.claims as k where k.id = d.claim_id and d.id = any (k.delivery_ids))
union all
select format('claim %s counts %s open, of %s', k.id, k.open_count, coalesce(f.count, 0))
from chimeway.claims as k
left join flying as f on f.claim_id = k.id
where k.open_count <> coalesce(f.count, 0)
union all
select format('%s is %s with %s attempts numbered %s', d.id, d.status, d.attempt_count, a.numbers)
from chimeway.deliveries as d
left join attempts as a on a.delivery_id = d.id
where coalesce(a.numbers, '{}') <> array(select generate_series(
  1, d.attempt_count - case when d.status = 'dispatched' then 1 else 0 end))
union all
select format('%s succeeded %s times in series %s', a.delivery_id, count(*), a.series)
from chimeway.delivery_attempts as a
where a.outcome = 'succeeded'
group by a.delivery_id, a.series
having count(*) > 1
union all
select format('tallies are wrong by %s for %s on %s', sum(t.count), t.status, t.channel)
from (
  select channel, regexp_replace(status, '^pruned ', ''),
    case when status like 'pruned %' then -count else count end
  from chimeway.tallies
  union all
  select channel, status, -1 from chimeway.deliveries where finished_at is not null
) as t (channel, status, count)
group by t.channel, t.status
having sum(t.count) <> 0
