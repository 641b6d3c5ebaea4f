create or replace function chimeway.configure_retention(
  p_channel text,
  p_redact_after interval,
  p_delete_after interval
)
returns void
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  update chimeway.channels as c
  set redact_after = p_redact_after, delete_after = p_delete_after
  where c.name = p_channel
    and (c.redact_after, c.delete_after) is distinct from (p_redact_after, p_delete_after)
$$;

comment on function chimeway.configure_retention(text, interval, interval) is
  'Writes how long a channel''s deliveries are kept after their end, from a daemon''s '
  'configuration; null: for ever.';

revoke all on function chimeway.configure_retention(text, interval, interval) from public;
