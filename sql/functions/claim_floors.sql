create or replace function chimeway.claim_floors(p_now timestamptz, p_is_wanted_full boolean)
returns jsonb
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_kept constant jsonb := coalesce(nullif(current_setting('chimeway.floors', true), ''),
    '{"full_at": 0, "full_seconds": 0, "claimed_at": "-infinity", "levels": []}')::jsonb;
  v_began_at constant double precision := extract(epoch from clock_timestamp());
  v_age constant double precision := v_began_at - (v_kept -> 'full_at')::double precision;
begin
  return v_kept || jsonb_build_object(
    'began_at', v_began_at,
    'is_full',
      -- A clock that went back, either one, makes the floors worthless.
      v_age < 0 or p_now < (v_kept ->> 'claimed_at')::timestamptz
      -- A full look walks over every dead row that a held snapshot keeps: it may take a twentieth
      -- of the time, and is not due sooner than a second after the last, unless somebody asks.
      or v_age >= greatest(20 * (v_kept -> 'full_seconds')::double precision,
        case when p_is_wanted_full then 0 else 1 end));
end
$$;

comment on function chimeway.claim_floors(timestamptz, boolean) is
  'Where the claims of this session may begin: for each channel and priority the position and the '
  'due time of the last job taken, or a full look. Kept in the session (chimeway.floors): a new '
  'session begins with a full look.';

revoke all on function chimeway.claim_floors(timestamptz, boolean) from public;
