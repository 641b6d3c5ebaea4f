-- Flow control: how fast a channel may call, when it must not, and where its failures go.
--
-- What changes per batch or per fault has rows of its own, so that it locks nothing else:
-- `rates` is locked by claims before anything else, `breakers` by records after everything else.

drop function if exists chimeway.configure_channel(
  text, text, integer, interval, double precision, interval, double precision, interval[],
  interval, interval, text);
drop function if exists chimeway.release_unsent(text, uuid[], bigint[], text);
drop function if exists chimeway.stats(integer);

-- --------------------------------------------------------------------------------------- rates

create table chimeway.rates (
  channel text not null,
  calls integer not null,
  per interval not null,
  burst integer not null,
  gap interval not null generated always as (per / calls) stored,
  paid_until timestamptz not null default '-infinity',
  constraint rates_pkey primary key (channel),
  constraint calls_are_positive check (calls > 0),
  constraint per_is_positive check (per > interval '0'),
  constraint burst_is_positive check (burst > 0)
) with (fillfactor = 20, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);

comment on table chimeway.rates is
  'How fast a channel may call, over all daemons together: a row for each channel that has a rate.';
comment on column chimeway.rates.channel is 'The channel.';
comment on column chimeway.rates.calls is 'So many calls …';
comment on column chimeway.rates.per is '… in this time.';
comment on column chimeway.rates.burst is 'Calls that may begin at once after a rest.';
comment on column chimeway.rates.gap is 'What one call costs: per / calls.';
comment on column chimeway.rates.paid_until is
  'The calls made so far fill the time up to here; a token bucket in one number (owed_time).';

-- ------------------------------------------------------------------------------------ breakers

create table chimeway.breakers (
  channel text not null,
  opened_at timestamptz not null,
  opened_by text not null,
  reason text not null,
  retry_at timestamptz not null,
  first_wait interval not null,
  longest_wait interval not null,
  failed_probes integer not null default 0,
  probe_claim_id bigint,
  probe_delivery_id uuid,
  constraint breakers_pkey primary key (channel),
  constraint probe_is_whole check ((probe_claim_id is null) = (probe_delivery_id is null))
);

comment on table chimeway.breakers is
  'Channels that make no calls for a while, because calls failed: a row is an open breaker, or a '
  'half-open one if a probe is in flight; no row is a closed one.';
comment on column chimeway.breakers.channel is 'The channel.';
comment on column chimeway.breakers.opened_at is 'When it opened; failed probes do not move it.';
comment on column chimeway.breakers.opened_by is 'The daemon that saw the fault.';
comment on column chimeway.breakers.reason is 'What it saw, with the numbers behind it.';
comment on column chimeway.breakers.retry_at is 'From then on one call may be made: the probe.';
comment on column chimeway.breakers.first_wait is 'How long it is open at first.';
comment on column chimeway.breakers.longest_wait is
  'Each failed probe doubles the wait, up to this.';
comment on column chimeway.breakers.failed_probes is 'Probes that failed since it opened.';
comment on column chimeway.breakers.probe_claim_id is
  'Claim of the probe. It is in flight while its delivery is dispatched under it; null: none was.';
comment on column chimeway.breakers.probe_delivery_id is 'Delivery of the probe; null: none was.';

-- ----------------------------------------------------------------------------------- fallbacks

alter table chimeway.channels add column fallback text;
comment on column chimeway.channels.fallback is
  'Channel that a delivery is sent on by when it failed for good on this one; null: none.';

create table chimeway.fallbacks (
  origin_id uuid not null,
  delivery_id uuid not null,
  constraint fallbacks_pkey primary key (origin_id),
  constraint fallbacks_delivery_id unique (delivery_id)
);

comment on table chimeway.fallbacks is
  'Deliveries that were made because another one failed for good: once for each origin, ever.';
comment on column chimeway.fallbacks.origin_id is 'The delivery that failed.';
comment on column chimeway.fallbacks.delivery_id is 'The delivery that was made instead.';

-- -------------------------------------------------------------------------------------- events

alter table chimeway.delivery_events
  drop constraint event_is_known,
  add constraint event_is_known check (
    event in ('cancelled', 'suppressed', 'expired', 'cancel_requested', 'suppress_requested',
      'replayed', 'held', 'released', 'released_unsent', 'late_outcome', 'deferred',
      'fallback_refused'));
comment on column chimeway.delivery_events.event is
  'cancelled, suppressed, expired, cancel_requested, suppress_requested, replayed, held, released, '
  'released_unsent, late_outcome, deferred or fallback_refused.';
