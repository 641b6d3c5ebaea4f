create or replace function chimeway.pause_channel(channel text, reason text, actor text)
returns table (changed boolean, message text)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_channel record;
begin
  perform chimeway.require_actor('pause_channel', actor);
  perform chimeway.require_reason('pause_channel', reason);

  select c.paused_at, c.paused_by, c.pause_reason into v_channel
  from chimeway.channels as c
  where c.name = pause_channel.channel
  for update;

  if not found then
    raise exception 'chimeway.pause_channel: no daemon has configured a channel %', channel
      using errcode = 'NC001';
  elsif v_channel.paused_at is not null then
    return query select false, format('already paused by %s since %s: %s',
      v_channel.paused_by, chimeway.moment(v_channel.paused_at), v_channel.pause_reason);
    return;
  end if;

  update chimeway.channels as c
  set paused_at = chimeway.clock(), paused_by = actor, pause_reason = reason
  where c.name = pause_channel.channel;
  return query select true, 'paused'::text;
end
$$;

comment on function chimeway.pause_channel(text, text, text) is
  'Stops claiming on a channel; calls in flight end. NC001: no such channel. NC003: no actor or '
  'reason.';

revoke all on function chimeway.pause_channel(text, text, text) from public;
