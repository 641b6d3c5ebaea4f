-- The tables of chimeway. Functions and triggers live in ../functions, one file each.
--
-- Hot and cold: `deliveries` is wide and cold, and no index nor index predicate of it names a
-- column that changes, so that each change of state is a heap-only (HOT) update on the same page.
-- `jobs` is narrow and hot: rows come and go, nothing is ever updated on the way of a delivery.
--
-- Lock order, for every function: claims, then jobs, then deliveries; many rows by ascending id.

-- ---------------------------------------------------------------------------------- deliveries

create table chimeway.deliveries (
  id uuid not null default encode(
    -- A version 7 uuid (RFC 9562 section 5.7) from core functions: the first 48 bits of a random
    -- uuid become milliseconds, and two set bits turn its version 4 into 7.
    set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) placing substring(
      int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) from 1 for 6),
      52, 1), 53, 1), 'hex')::uuid,
  -- What changes stands together, before the body: the log of an update holds only the bytes
  -- between the first and the last one that differ.
  status text not null default 'pending',
  attempt_count integer not null default 0,
  attempts_before integer not null default 0,
  lost_count integer not null default 0,
  series integer not null default 1,
  claim_id bigint,
  updated_at timestamptz not null default now(),
  next_attempt_at timestamptz,
  finished_at timestamptz,
  suppression_reason text,
  provider_message_id text,
  requested_status text,
  requested_reason text,
  priority smallint not null default 0,
  max_attempts smallint,
  scheduled_at timestamptz not null default now(),
  expires_at timestamptz,
  inserted_at timestamptz not null default now(),
  position bigint generated always as identity,
  channel text not null,
  recipient text not null,
  idempotency_key text,
  tenant_id text,
  notification_key text,
  correlation_id text,
  metadata jsonb not null default '{}',
  payload jsonb not null,
  constraint deliveries_pkey primary key (id) with (fillfactor = 90),
  constraint status_is_known check (
    status in ('pending', 'dispatched', 'failed', 'succeeded', 'suppressed', 'cancelled')),
  constraint claim_exactly_while_dispatched check (
    (status = 'dispatched') = (claim_id is not null)),
  constraint finished_exactly_when_terminal check (
    (status in ('succeeded', 'suppressed', 'cancelled')) = (finished_at is not null)),
  constraint reason_exactly_when_not_sent check (
    (status in ('suppressed', 'cancelled')) = (suppression_reason is not null))
) with (
  fillfactor = 50,
  autovacuum_vacuum_scale_factor = 0.05,
  autovacuum_vacuum_insert_scale_factor = 0.05,
  autovacuum_analyze_scale_factor = 0.05,
  autovacuum_vacuum_cost_delay = 0
);

create unique index deliveries_idempotency_key
  on chimeway.deliveries (tenant_id, idempotency_key) nulls not distinct
  where idempotency_key is not null;

create index deliveries_expires_at
  on chimeway.deliveries (expires_at)
  where expires_at is not null;

comment on table chimeway.deliveries is
  'One message to one recipient on one channel: the only source of truth. Insert here to send.';
comment on column chimeway.deliveries.id is
  'Generated, ordered by time, if absent. Providers see it as the idempotency key of each repeat.';
comment on column chimeway.deliveries.channel is
  'Name of a configured channel; one that nobody serves is accepted and waits.';
comment on column chimeway.deliveries.recipient is
  'Where to, in the channel''s own terms: a URL, a mail address, a number. 1 to 2048 bytes.';
comment on column chimeway.deliveries.payload is
  'The message, in the form the channel''s adapter wants. At most 256 KiB as text.';
comment on column chimeway.deliveries.idempotency_key is
  'The producer''s own key, unique within tenant_id; null: no protection against a second insert.';
comment on column chimeway.deliveries.tenant_id is 'On whose behalf; null: nobody in particular.';
comment on column chimeway.deliveries.notification_key is
  'Kind of notification (order.shipped), for people and reports; null: not said.';
comment on column chimeway.deliveries.correlation_id is
  'The producer''s trace or request id, repeated in each log line; null: none.';
comment on column chimeway.deliveries.priority is 'Smaller is sooner, from -100 to 100.';
comment on column chimeway.deliveries.max_attempts is
  'Calls allowed in a series, 1 to 100; null: the channel''s own limit.';
comment on column chimeway.deliveries.scheduled_at is 'Not sent before this moment.';
comment on column chimeway.deliveries.expires_at is
  'Not sent after this moment: cancelled with reason expired; null: never too late.';
comment on column chimeway.deliveries.metadata is
  'A JSON object for the producer''s own use; adapters see it, chimeway does not read it.';
comment on column chimeway.deliveries.status is
  'pending, dispatched, failed, or terminal: succeeded, suppressed, cancelled.';
comment on column chimeway.deliveries.suppression_reason is
  'Why it was suppressed or cancelled; null unless it was.';
comment on column chimeway.deliveries.attempt_count is
  'Calls counted at claim, over all series; a release gives its call back.';
comment on column chimeway.deliveries.attempts_before is
  'Calls of earlier series, that is before the last replay.';
comment on column chimeway.deliveries.lost_count is
  'Calls of this series whose daemon died or stalled past its lease.';
comment on column chimeway.deliveries.series is 'One more than the number of replays.';
comment on column chimeway.deliveries.next_attempt_at is
  'When a failed delivery is due again; null: as soon as scheduled_at allows, or never.';
comment on column chimeway.deliveries.provider_message_id is
  'The provider''s id of the accepted message; null: none given.';
comment on column chimeway.deliveries.inserted_at is 'Start of the inserting transaction.';
comment on column chimeway.deliveries.updated_at is 'Last change of state.';
comment on column chimeway.deliveries.finished_at is 'When it became terminal; null: it is not.';
comment on column chimeway.deliveries.claim_id is
  'Fencing token of the claim it is dispatched under; null: not dispatched.';
comment on column chimeway.deliveries.requested_status is
  'cancelled or suppressed, asked for during a call: no retry follows it; null: nothing asked.';
comment on column chimeway.deliveries.requested_reason is 'Reason that goes with requested_status.';
comment on column chimeway.deliveries.position is 'Order of insertion: the queue''s tie-break.';

-- ---------------------------------------------------------------------------------------- jobs

create table chimeway.jobs (
  delivery_id uuid not null,
  due_at timestamptz not null,
  position bigint not null,
  priority smallint not null,
  rings boolean not null default false,
  is_suspect boolean not null default false,
  channel text not null,
  constraint jobs_pkey primary key (channel, priority, due_at, position)
) with (
  autovacuum_vacuum_scale_factor = 0.01,
  autovacuum_vacuum_threshold = 1000,
  autovacuum_vacuum_insert_scale_factor = 0.05,
  autovacuum_analyze_scale_factor = 0.05,
  autovacuum_vacuum_cost_delay = 0
);

create index jobs_suspects on chimeway.jobs (due_at, position) where is_suspect;

comment on table chimeway.jobs is
  'Queue of the deliveries that wait for their turn: one row each, no payload, deleted at claim.';
comment on column chimeway.jobs.delivery_id is 'The delivery that waits.';
comment on column chimeway.jobs.due_at is
  '-infinity: now, whatever the clock says later. infinity: held. Else: not before this moment.';
comment on column chimeway.jobs.position is 'The delivery''s position.';
comment on column chimeway.jobs.priority is 'The delivery''s priority.';
comment on column chimeway.jobs.rings is 'Whether the commit of this row rings the doorbell.';
comment on column chimeway.jobs.is_suspect is
  'Lost twice or more: it may be what kills daemons, and is claimed one at a time.';
comment on column chimeway.jobs.channel is 'The delivery''s channel.';

-- -------------------------------------------------------------------------------------- claims

create sequence chimeway.claim_ids as bigint;
comment on sequence chimeway.claim_ids is 'Fencing tokens: never reused.';

create table chimeway.claims (
  id bigint not null,
  daemon_id bigint not null,
  daemon_name text not null,
  claimed_at timestamptz not null,
  expires_at timestamptz not null,
  open_count integer not null,
  delivery_ids uuid[] not null,
  constraint claims_pkey primary key (id),
  constraint open_count_is_positive check (open_count > 0)
) with (
  fillfactor = 70,
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_threshold = 1000,
  autovacuum_vacuum_cost_delay = 0
);
alter table chimeway.claims alter column delivery_ids set storage external;

comment on table chimeway.claims is
  'One row a claimed batch that is not all recorded yet: who holds it and for how long.';
comment on column chimeway.claims.id is 'The fencing token.';
comment on column chimeway.claims.daemon_id is 'The holder: one run of one daemon process.';
comment on column chimeway.claims.daemon_name is 'The holder''s configured name.';
comment on column chimeway.claims.claimed_at is 'When the batch was claimed.';
comment on column chimeway.claims.expires_at is
  'End of the lease; the holder extends it, after it the batch may be rescued.';
comment on column chimeway.claims.open_count is 'Deliveries of the batch still dispatched under it.';
comment on column chimeway.claims.delivery_ids is 'Deliveries of the batch, recorded ones included.';

-- ----------------------------------------------------------------------------------- attempts

create table chimeway.delivery_attempts (
  delivery_id uuid not null,
  attempt_number integer not null,
  series integer not null,
  claim_id bigint not null,
  started_at timestamptz,
  finished_at timestamptz not null,
  next_attempt_at timestamptz,
  status_code integer,
  retry_after interval,
  outcome text not null,
  error_class text,
  daemon_name text not null,
  provider_message_id text,
  detail text,
  response text,
  constraint delivery_attempts_pkey primary key (delivery_id, attempt_number),
  constraint outcome_is_known check (
    outcome in ('succeeded', 'failed', 'rejected', 'bounced', 'lost')),
  constraint error_class_is_known check (
    error_class in
      ('temporary', 'permanent', 'bounced', 'uncertain', 'timeout', 'unknown_classification')),
  constraint error_class_exactly_when_not_succeeded check (
    (outcome = 'succeeded') = (error_class is null))
) with (
  autovacuum_vacuum_insert_scale_factor = 0.05,
  autovacuum_vacuum_cost_delay = 0
);

comment on table chimeway.delivery_attempts is
  'One call of an adapter, written once when it ended. Nothing updates or deletes it but retention.';
comment on column chimeway.delivery_attempts.delivery_id is 'The delivery that was tried.';
comment on column chimeway.delivery_attempts.attempt_number is '1, 2, 3 … without gaps.';
comment on column chimeway.delivery_attempts.series is 'The delivery''s series at the time.';
comment on column chimeway.delivery_attempts.claim_id is 'Fencing token of the claim it ran under.';
comment on column chimeway.delivery_attempts.started_at is
  'When the adapter was called; null: unknown, because its daemon was lost.';
comment on column chimeway.delivery_attempts.finished_at is
  'When the adapter answered, or when the loss was found.';
comment on column chimeway.delivery_attempts.next_attempt_at is
  'When the retry it led to was due; null: it led to none.';
comment on column chimeway.delivery_attempts.status_code is
  'The provider''s own code: HTTP status, SMTP reply, exit status; null: it gave none.';
comment on column chimeway.delivery_attempts.retry_after is
  'How long the provider asked to wait; null: it did not.';
comment on column chimeway.delivery_attempts.outcome is
  'succeeded, failed, rejected, bounced, or lost.';
comment on column chimeway.delivery_attempts.error_class is
  'temporary, permanent, bounced, uncertain, timeout or unknown_classification; null: succeeded.';
comment on column chimeway.delivery_attempts.daemon_name is 'The daemon that made the call.';
comment on column chimeway.delivery_attempts.provider_message_id is
  'The provider''s id of the message; null: it gave none.';
comment on column chimeway.delivery_attempts.detail is 'What happened, in a sentence.';
comment on column chimeway.delivery_attempts.response is
  'What the provider said, cut and cleaned; null: nothing.';

-- -------------------------------------------------------------------------------------- events

create table chimeway.delivery_events (
  delivery_id uuid not null,
  id bigint generated always as identity,
  happened_at timestamptz not null,
  event text not null,
  actor text not null,
  reason text,
  facts jsonb not null default '{}',
  constraint delivery_events_pkey primary key (delivery_id, id),
  constraint event_is_known check (
    event in ('cancelled', 'suppressed', 'expired', 'cancel_requested', 'suppress_requested',
      'replayed', 'held', 'released', 'released_unsent', 'late_outcome')),
  constraint actor_is_named check (actor <> '')
);

comment on table chimeway.delivery_events is
  'History of a delivery beside its attempts: who or what decided something, and why.';
comment on column chimeway.delivery_events.delivery_id is 'The delivery it happened to.';
comment on column chimeway.delivery_events.id is 'Order of events.';
comment on column chimeway.delivery_events.happened_at is 'When.';
comment on column chimeway.delivery_events.event is
  'cancelled, suppressed, expired, cancel_requested, suppress_requested, replayed, held, released, '
  'released_unsent or late_outcome.';
comment on column chimeway.delivery_events.actor is 'An operator, or the daemon that decided.';
comment on column chimeway.delivery_events.reason is 'Why; null: nothing was said.';
comment on column chimeway.delivery_events.facts is 'The numbers behind it, as a JSON object.';

-- ------------------------------------------------------------------------------------ channels

create table chimeway.channels (
  name text not null,
  adapter text not null,
  enabled boolean not null,
  max_attempts smallint not null,
  backoff_base interval not null,
  backoff_factor double precision not null,
  backoff_cap interval not null,
  backoff_jitter double precision not null,
  backoff_schedule interval[],
  retry_after_cap interval not null,
  max_age interval,
  on_uncertain text not null,
  configured_at timestamptz not null,
  paused_at timestamptz,
  paused_by text,
  pause_reason text,
  constraint channels_pkey primary key (name),
  constraint on_uncertain_is_known check (on_uncertain in ('retry', 'hold')),
  constraint jitter_is_a_share check (backoff_jitter between 0 and 0.9),
  constraint pause_is_explained check (
    (paused_at is null) = (pause_reason is null) and (paused_at is null) = (paused_by is null))
);

comment on table chimeway.channels is
  'Policy and state of each channel. Daemons write the policy from their configuration; whether it '
  'is paused belongs to operators and is never overwritten.';
comment on column chimeway.channels.name is 'The name that deliveries.channel uses.';
comment on column chimeway.channels.adapter is 'Adapter that performs its attempts.';
comment on column chimeway.channels.enabled is
  'False: its deliveries are suppressed with reason channel_disabled.';
comment on column chimeway.channels.max_attempts is 'Calls a series may make.';
comment on column chimeway.channels.backoff_base is 'Wait after the first failure.';
comment on column chimeway.channels.backoff_factor is 'Each wait is this many times the last one.';
comment on column chimeway.channels.backoff_cap is 'Longest wait before jitter.';
comment on column chimeway.channels.backoff_jitter is
  'Share by which a wait is made longer or shorter at random, 0 to 0.9.';
comment on column chimeway.channels.backoff_schedule is
  'Explicit waits, the last one repeats; null: base, factor and cap say.';
comment on column chimeway.channels.retry_after_cap is
  'Longest wait that a provider''s retry-after may ask for.';
comment on column chimeway.channels.max_age is
  'No retry later than this after scheduled_at; null: attempts alone are the limit.';
comment on column chimeway.channels.on_uncertain is
  'retry, or hold: cancel with reason outcome_unknown when nobody knows whether it was sent.';
comment on column chimeway.channels.configured_at is 'When a daemon last wrote this policy.';
comment on column chimeway.channels.paused_at is 'Since when it is paused; null: it is not.';
comment on column chimeway.channels.paused_by is 'Who paused it; null: it is not paused.';
comment on column chimeway.channels.pause_reason is 'Why it is paused; null: it is not paused.';

-- --------------------------------------------------------------------------------- suppressions

create table chimeway.suppressions (
  recipient text not null,
  channel text,
  tenant_id text,
  reason text not null default 'recipient_suppressed',
  actor text not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  constraint suppressions_key unique nulls not distinct (recipient, channel, tenant_id)
);

comment on table chimeway.suppressions is
  'Recipients to whom nothing is sent: judged at claim, before any call.';
comment on column chimeway.suppressions.recipient is 'Exactly as in deliveries.recipient.';
comment on column chimeway.suppressions.channel is 'Only on this channel; null: on all.';
comment on column chimeway.suppressions.tenant_id is 'Only for this tenant; null: for all.';
comment on column chimeway.suppressions.reason is 'Becomes the delivery''s suppression_reason.';
comment on column chimeway.suppressions.actor is 'Who put the recipient here.';
comment on column chimeway.suppressions.created_at is 'Since when.';
comment on column chimeway.suppressions.expires_at is 'Until when; null: for good.';

-- ------------------------------------------------------------------------------------- daemons

create sequence chimeway.daemon_ids as bigint;
comment on sequence chimeway.daemon_ids is 'Numbers the runs of daemon processes: never reused.';

create unlogged table chimeway.daemons (
  id bigint not null,
  name text not null,
  version text not null,
  channels text[] not null,
  started_at timestamptz not null,
  heartbeat_at timestamptz not null,
  constraint daemons_pkey primary key (id)
) with (fillfactor = 50);

comment on table chimeway.daemons is
  'One row a running daemon. Unlogged: empty after a crash of Postgres until the next heartbeat.';
comment on column chimeway.daemons.id is 'Which run of which process.';
comment on column chimeway.daemons.name is 'Configured name.';
comment on column chimeway.daemons.version is 'Version of the program.';
comment on column chimeway.daemons.channels is 'Channels it serves.';
comment on column chimeway.daemons.started_at is 'When it registered.';
comment on column chimeway.daemons.heartbeat_at is 'When it last said that it lives.';

-- ------------------------------------------------------------------------------------- tallies

create table chimeway.tallies (
  channel text not null,
  status text not null,
  count bigint not null
) with (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);

comment on table chimeway.tallies is
  'Terminal deliveries, counted as they end: the sum of the rows of a channel and status. Rows are '
  'appended by each batch and rolled up now and then, so that nobody has to count history.';
comment on column chimeway.tallies.channel is 'The channel.';
comment on column chimeway.tallies.status is 'A terminal status.';
comment on column chimeway.tallies.count is 'How many more; negative when a replay reopened some.';

-- ------------------------------------------------------------------------------------ doorbell

create unlogged sequence chimeway.bell_armed as bigint;
comment on sequence chimeway.bell_armed is
  'Moves each time a daemon goes to sleep. Sequences are read and set outside transactions, which '
  'is what a commit needs to see a daemon that fell asleep after the transaction began.';

create unlogged sequence chimeway.bell_rung as bigint minvalue 0 start 0;
comment on sequence chimeway.bell_rung is
  'Value of bell_armed when the bell was last rung: a sleeping daemon is one armed since.';
