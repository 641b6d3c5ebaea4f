create or replace function chimeway.find_unheard(
  p_daemon_id bigint,
  p_known_claim_ids bigint[],
  p_older_than interval
)
returns table (delivery_id uuid, claim_id bigint)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select unnest(k.delivery_ids), k.id
  from chimeway.claims as k
  where k.daemon_id = p_daemon_id and k.id <> all (p_known_claim_ids)
    and k.claimed_at <= chimeway.clock() - p_older_than
  order by k.id
$$;

comment on function chimeway.find_unheard(bigint, bigint[], interval) is
  'What a daemon claimed without hearing so: of claims of its own that it does not know, and that '
  'are older than any answer still on its way. Only looks, and the daemon gives back by name '
  '(release_unsent): a request that was held up on its way arrives when there are claims that it '
  'does not know of, and must not take these.';

revoke all on function chimeway.find_unheard(bigint, bigint[], interval) from public;
