-- Comments that later releases made untrue.

comment on column chimeway.deliveries.metadata is
  'A JSON object for the producer''s own use; adapters see it. chimeway reads fallback and '
  'traceparent in it, and nothing else.';
comment on column chimeway.deliveries.next_attempt_at is
  'When it is due, once it failed, was given back, replayed or released; null: when scheduled_at '
  'says, or never.';
comment on column chimeway.channels.paused_by is
  'Who paused it, an operator or a daemon that met a fault of ours; null: it is not paused.';
comment on column chimeway.channels.redact_after is
  'A delivery that ended so long ago loses its payload, its metadata and the providers'' responses; '
  'null: never.';
