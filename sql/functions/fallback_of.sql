create or replace function chimeway.fallback_of(p_origin chimeway.deliveries, p_channel text)
returns chimeway.deliveries
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_words constant jsonb := p_origin.metadata -> 'fallback' -> p_channel;
  v_made chimeway.deliveries;
begin
  v_made := jsonb_populate_record(null::chimeway.deliveries, jsonb_build_object(
    'id', chimeway.time_ordered_id(),
    'status', 'pending', 'attempt_count', 0, 'attempts_before', 0, 'lost_count', 0, 'series', 1,
    'inserted_at', now(), 'updated_at', now(), 'scheduled_at', now(),
    'channel', p_channel,
    'recipient', coalesce(v_words ->> 'recipient', p_origin.recipient),
    'priority', p_origin.priority, 'expires_at', p_origin.expires_at,
    'tenant_id', p_origin.tenant_id, 'notification_key', p_origin.notification_key,
    'correlation_id', p_origin.correlation_id, 'metadata', p_origin.metadata));
  -- Not by way of the record: there a JSON null becomes none at all.
  v_made.payload := coalesce(nullif(v_words -> 'payload', 'null'), p_origin.payload);
  return v_made;
end
$$;

comment on function chimeway.fallback_of(chimeway.deliveries, text) is
  'The delivery to be made of one that failed for good: recipient and payload as its metadata says '
  '({"fallback": {"<channel>": {"recipient": …, "payload": …}}}), else its own; what it is about, '
  'its priority and expires_at are the same. It has the new channel''s attempts.';

revoke all on function chimeway.fallback_of(chimeway.deliveries, text) from public;
