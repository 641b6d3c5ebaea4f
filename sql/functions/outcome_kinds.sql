create or replace function chimeway.outcome_kinds()
returns table (kind text, outcome text, error_class text, rule text)
language sql
immutable
as $$
  values
    ('succeeded', 'succeeded', null, 'succeed'),
    ('temporary', 'failed', 'temporary', 'retry'),
    ('throttled', 'failed', 'temporary', 'retry'),
    ('permanent', 'rejected', 'permanent', 'permanent_failure'),
    ('bounced', 'bounced', 'bounced', 'bounced'),
    ('unsubscribed', 'rejected', 'permanent', 'permanent_failure'),
    ('uncertain', 'failed', 'uncertain', 'doubt'),
    ('timeout', 'failed', 'timeout', 'retry'),
    ('timeout_after_send', 'failed', 'timeout', 'doubt'),
    ('unclassified', 'rejected', 'unknown_classification', 'retry'),
    ('lost', 'lost', 'uncertain', 'doubt')
$$;

comment on function chimeway.outcome_kinds() is
  'Every way a call can end: what the attempt row says (outcome, error_class) and the rule that '
  'moves the delivery: succeed; retry (failed, or cancelled / retries_exhausted); doubt (retry or '
  'cancelled / outcome_unknown, by the channel''s on_uncertain); permanent_failure and bounced '
  '(cancelled with that reason). After unsubscribed the recipient is in suppressions, too.';

revoke all on function chimeway.outcome_kinds() from public;
