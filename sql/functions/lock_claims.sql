create or replace function chimeway.lock_claims(p_claim_ids bigint[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
begin
  perform from chimeway.claims as k
  where k.id = any (p_claim_ids)
  order by k.id
  for update;
end
$$;

comment on function chimeway.lock_claims(bigint[]) is
  'First step of every function that ends a call: claims are locked before jobs and deliveries.';

revoke all on function chimeway.lock_claims(bigint[]) from public;
