create or replace function chimeway.release_unheard(
  p_daemon_id bigint,
  p_daemon_name text,
  p_known_claim_ids bigint[],
  p_older_than interval
)
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_claim record;
  v_count integer := 0;
begin
  for v_claim in
    select k.id, k.delivery_ids
    from chimeway.claims as k
    where k.daemon_id = p_daemon_id and k.id <> all (p_known_claim_ids)
      and k.claimed_at <= chimeway.clock() - p_older_than
    order by k.id
  loop
    v_count := v_count + (
      select count(*)
      from chimeway.release_unsent(p_daemon_name, v_claim.delivery_ids,
        array_fill(v_claim.id, array[cardinality(v_claim.delivery_ids)]),
        'claimed, but the daemon did not hear of it'));
  end loop;
  return v_count;
end
$$;

comment on function chimeway.release_unheard(bigint, text, bigint[], interval) is
  'Gives back what a daemon claimed without hearing so: claims of its own that it does not know, and '
  'that are older than any answer still on its way. Nothing of them was sent. Returns how many '
  'deliveries. Locks claims, then deliveries.';

revoke all on function chimeway.release_unheard(bigint, text, bigint[], interval) from public;
