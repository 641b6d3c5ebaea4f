create or replace function chimeway.notify_daemons()
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if coalesce(current_setting('chimeway.notify', true), '') <> 'off'
      -- A commit that notifies when the queue is full is refused.
      and pg_notification_queue_usage() < 0.9 then
    perform pg_notify('chimeway_jobs', '');
  end if;
end
$$;

comment on function chimeway.notify_daemons() is
  'Wakes the daemons that listen, unless the session has set chimeway.notify = off, or the server''s '
  'notification queue is nearly full: a hint must fail no commit, and the poll finds what it was '
  'about.';

revoke all on function chimeway.notify_daemons() from public;
