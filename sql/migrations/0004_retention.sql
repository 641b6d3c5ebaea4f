-- Retention: how long what has ended is kept. Nobody's, unless a channel says so.

alter table chimeway.deliveries add column redacted_at timestamptz;
comment on column chimeway.deliveries.redacted_at is
  'When retention emptied payload and metadata; null: they are as they were inserted.';

alter table chimeway.channels
  add column redact_after interval,
  add column delete_after interval,
  add constraint redact_after_is_an_age check (redact_after >= interval '1 hour'),
  add constraint delete_after_is_an_age check (delete_after >= interval '1 hour');
comment on column chimeway.channels.redact_after is
  'A delivery that ended so long ago loses its payload and metadata; null: never.';
comment on column chimeway.channels.delete_after is
  'A delivery that ended so long ago is deleted with its history; null: never.';

comment on column chimeway.tallies.status is
  'A terminal status, or pruned and one: how many of those retention deleted.';
