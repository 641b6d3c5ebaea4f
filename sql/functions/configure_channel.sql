create or replace function chimeway.configure_channel(
  p_name text,
  p_adapter text,
  p_max_attempts integer,
  p_backoff_base interval,
  p_backoff_factor double precision,
  p_backoff_cap interval,
  p_backoff_jitter double precision,
  p_backoff_schedule interval[],
  p_retry_after_cap interval,
  p_max_age interval,
  p_on_uncertain text
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into chimeway.channels as c
    (name, adapter, enabled, max_attempts, backoff_base, backoff_factor, backoff_cap,
     backoff_jitter, backoff_schedule, retry_after_cap, max_age, on_uncertain, configured_at)
  values (p_name, p_adapter, true, p_max_attempts, p_backoff_base, p_backoff_factor, p_backoff_cap,
    p_backoff_jitter, p_backoff_schedule, p_retry_after_cap, p_max_age, p_on_uncertain,
    chimeway.clock())
  on conflict (name) do update set
    adapter = excluded.adapter,
    max_attempts = excluded.max_attempts,
    backoff_base = excluded.backoff_base,
    backoff_factor = excluded.backoff_factor,
    backoff_cap = excluded.backoff_cap,
    backoff_jitter = excluded.backoff_jitter,
    backoff_schedule = excluded.backoff_schedule,
    retry_after_cap = excluded.retry_after_cap,
    max_age = excluded.max_age,
    on_uncertain = excluded.on_uncertain,
    configured_at = excluded.configured_at;
end
$$;

comment on function chimeway.configure_channel(
  text, text, integer, interval, double precision, interval, double precision, interval[],
  interval, interval, text) is
  'Writes a channel''s policy from a daemon''s configuration. Whether it is enabled or paused '
  'belongs to operators and stays.';

revoke all on function chimeway.configure_channel(
  text, text, integer, interval, double precision, interval, double precision, interval[],
  interval, interval, text) from public;
