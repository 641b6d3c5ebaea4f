create or replace function chimeway.keep_claim_floors(
  p_floors jsonb,
  p_levels jsonb,
  p_channels text[],
  p_now timestamptz
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_is_full constant boolean := p_floors -> 'is_full';
  v_began_at constant double precision := p_floors -> 'began_at';
begin
  perform set_config('chimeway.floors', jsonb_build_object(
    'full_at', case when v_is_full then p_floors -> 'began_at' else p_floors -> 'full_at' end,
    'full_seconds', case when v_is_full
      then to_jsonb(extract(epoch from clock_timestamp()) - v_began_at)
      else p_floors -> 'full_seconds' end,
    'claimed_at', p_now,
    'levels', coalesce(p_levels, '[]') || coalesce((
      select jsonb_agg(f.level)
      from jsonb_array_elements(p_floors -> 'levels') as f (level)
      -- A full look that passed over a channel leaves it without floors: its own is its next look.
      where f.level ->> 'channel' <> all (p_channels) and not v_is_full), '[]'))::text, false);
end
$$;

comment on function chimeway.keep_claim_floors(jsonb, jsonb, text[], timestamptz) is
  'Remembers in the session where a claim of these channels ended; see claim_floors.';

revoke all on function chimeway.keep_claim_floors(jsonb, jsonb, text[], timestamptz) from public;
