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
  p_on_uncertain text,
  p_fallback text,
  p_rate_calls integer,
  p_rate_per interval,
  p_rate_burst integer
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  -- A row that is right is not written: an operator's transaction may hold it, and a daemon that only
  -- starts anew would wait for that.
  if not exists (
      select from chimeway.channels as c
      where c.name = p_name
        and (c.adapter, c.max_attempts, c.backoff_base, c.backoff_factor, c.backoff_cap,
            c.backoff_jitter, c.backoff_schedule, c.retry_after_cap, c.max_age, c.on_uncertain,
            c.fallback)
          is not distinct from
          (p_adapter, p_max_attempts, p_backoff_base, p_backoff_factor, p_backoff_cap,
            p_backoff_jitter, p_backoff_schedule, p_retry_after_cap, p_max_age, p_on_uncertain,
            p_fallback)) then
    insert into chimeway.channels as c
      (name, adapter, enabled, max_attempts, backoff_base, backoff_factor, backoff_cap,
       backoff_jitter, backoff_schedule, retry_after_cap, max_age, on_uncertain, fallback,
       configured_at)
    values (p_name, p_adapter, true, p_max_attempts, p_backoff_base, p_backoff_factor,
      p_backoff_cap, p_backoff_jitter, p_backoff_schedule, p_retry_after_cap, p_max_age,
      p_on_uncertain, p_fallback, chimeway.clock())
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
      fallback = excluded.fallback,
      configured_at = excluded.configured_at;
  end if;

  -- What was called so far counts against a new rate, too. One that is right is not written, either: a
  -- claim holds it until its daemon has read the answer.
  if p_rate_calls is not null and not exists (
      select from chimeway.rates as r
      where r.channel = p_name
        and (r.calls, r.per, r.burst) = (p_rate_calls, p_rate_per, p_rate_burst)) then
    insert into chimeway.rates as r (channel, calls, per, burst)
    values (p_name, p_rate_calls, p_rate_per, p_rate_burst)
    on conflict (channel) do update set
      calls = excluded.calls,
      per = excluded.per,
      burst = excluded.burst;
  end if;
  delete from chimeway.rates as r where r.channel = p_name and p_rate_calls is null;
end
$$;

comment on function chimeway.configure_channel(
  text, text, integer, interval, double precision, interval, double precision, interval[],
  interval, interval, text, text, integer, interval, integer) is
  'Writes a channel''s policy from a daemon''s configuration, if it is another. Whether it is enabled '
  'or paused belongs to operators and stays. p_fallback and p_rate_calls null: none.';

revoke all on function chimeway.configure_channel(
  text, text, integer, interval, double precision, interval, double precision, interval[],
  interval, interval, text, text, integer, interval, integer) from public;
