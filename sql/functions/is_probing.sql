create or replace function chimeway.is_probing(p_breaker chimeway.breakers)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  -- Not a flag that somebody would have to take back: a probe that was given back unsent, or whose
  -- daemon died, is over by itself.
  select exists (
    select from chimeway.deliveries as d
    where d.id = p_breaker.probe_delivery_id and d.claim_id = p_breaker.probe_claim_id)
$$;

comment on function chimeway.is_probing(chimeway.breakers) is
  'Whether the breaker is half-open: its probe is in flight.';

revoke all on function chimeway.is_probing(chimeway.breakers) from public;
