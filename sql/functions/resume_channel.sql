create or replace function chimeway.resume_channel(channel text, actor text)
returns table (changed boolean, message text)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_paused_at timestamptz;
begin
  perform chimeway.require_actor('resume_channel', actor);

  select c.paused_at into v_paused_at
  from chimeway.channels as c
  where c.name = resume_channel.channel
  for update;

  if not found then
    raise exception 'chimeway.resume_channel: no daemon has configured a channel %', channel
      using errcode = 'NC001';
  elsif v_paused_at is null then
    return query select false, 'not paused: nothing changed'::text;
    return;
  end if;

  update chimeway.channels as c
  set paused_at = null, paused_by = null, pause_reason = null
  where c.name = resume_channel.channel;
  -- In any case: it may be long until the commit, and who sleeps then is not known now.
  perform chimeway.notify_daemons();
  return query select true, format('resumed after %s',
    date_trunc('second', chimeway.clock() - v_paused_at));
end
$$;

comment on function chimeway.resume_channel(text, text) is
  'Claims on a paused channel again. NC001: no such channel. NC003: no actor.';

revoke all on function chimeway.resume_channel(text, text) from public;
