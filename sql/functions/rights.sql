create or replace function chimeway.rights()
returns table (object text, privilege text, columns text[], roles text[])
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select r.object, r.privilege, r.columns::text[], r.roles::text[]
  from (values
    ('schema_migrations', 'select', null, '{daemon, operator, reader}'),
    ('deliveries', 'insert', '{id, channel, recipient, payload, idempotency_key, tenant_id,
      notification_key, correlation_id, priority, max_attempts, scheduled_at, expires_at, metadata}',
      '{producer}'),
    ('deliveries', 'select', '{id, channel, idempotency_key, tenant_id, notification_key,
      correlation_id, priority, max_attempts, scheduled_at, expires_at, status, suppression_reason,
      attempt_count, next_attempt_at, provider_message_id, inserted_at, updated_at, finished_at, redacted_at}',
      '{producer, operator, reader}'),
    ('deliveries', 'select', '{recipient}', '{operator}'),
    ('deliveries', 'select', '{attempts_before, lost_count, series, claim_id, position,
      requested_status, requested_reason}', '{operator, reader}'),
    ('delivery_attempts', 'select', null, '{operator, reader}'),
    ('delivery_events', 'select', null, '{operator, reader}'),
    ('channels', 'select', null, '{operator, reader}'),
    ('channels', 'update', '{enabled}', '{operator}'),
    ('daemons', 'select', null, '{operator, reader}'),
    ('suppressions', 'select', null, '{operator}'),
    ('suppressions', 'insert', null, '{operator}'),
    ('suppressions', 'update', null, '{operator}'),
    ('suppressions', 'delete', null, '{operator}'),
    ('cancel', 'execute', null, '{operator}'),
    ('suppress', 'execute', null, '{operator}'),
    ('replay', 'execute', null, '{operator}'),
    ('hold', 'execute', null, '{operator}'),
    ('release', 'execute', null, '{operator}'),
    ('pause_channel', 'execute', null, '{operator, daemon}'),
    ('resume_channel', 'execute', null, '{operator}'),
    ('find_deliveries', 'execute', null, '{operator}'),
    ('list_deliveries', 'execute', null, '{operator}'),
    ('recent_attempts', 'execute', null, '{operator}'),
    ('repair_stranded', 'execute', null, '{operator}'),
    ('find_stranded', 'execute', null, '{operator, reader, daemon}'),
    ('group_failures', 'execute', null, '{operator, reader}'),
    ('explain', 'execute', null, '{operator, reader}'),
    ('stats', 'execute', null, '{daemon, operator, reader}'),
    ('rights', 'execute', null, '{daemon, operator, reader}'),
    ('claim', 'execute', null, '{daemon}'),
    ('record', 'execute', null, '{daemon}'),
    ('record_unlocked', 'execute', null, '{daemon}'),
    ('release_unsent', 'execute', null, '{daemon}'),
    ('next_due', 'execute', null, '{daemon}'),
    ('heartbeat', 'execute', null, '{daemon}'),
    ('register_daemon', 'execute', null, '{daemon}'),
    ('forget_daemons', 'execute', null, '{daemon}'),
    ('configure_channel', 'execute', null, '{daemon}'),
    ('configure_retention', 'execute', null, '{daemon}'),
    ('prune', 'execute', null, '{operator, daemon}'),
    ('open_breaker', 'execute', null, '{daemon}'),
    ('open_breakers', 'execute', null, '{daemon}'),
    ('serving_daemons', 'execute', null, '{daemon}'),
    ('end_orphaned_leases', 'execute', null, '{daemon}'),
    ('find_unheard', 'execute', null, '{daemon}'),
    ('rescue', 'execute', null, '{daemon}'),
    ('expire', 'execute', null, '{daemon}'),
    ('roll_up_tallies', 'execute', null, '{daemon}'),
    ('unserved_channels', 'execute', null, '{daemon}'),
    ('clock', 'execute', null, '{daemon}')
  ) as r (object, privilege, columns, roles)
$$;

comment on function chimeway.rights() is
  'Who may do what: the one list that chimewayd migrate makes grants of. Roles without their prefix '
  'chimeway_; columns null: the whole table, or a function. What is not listed is the owner''s alone.';

revoke all on function chimeway.rights() from public;
