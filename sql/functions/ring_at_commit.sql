create or replace function chimeway.ring_at_commit()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform chimeway.ring();
  return null;
end
$$;

comment on function chimeway.ring_at_commit() is
  'Rings the doorbell as the last thing before a commit that queued due deliveries, so that a '
  'daemon which fell asleep during a long transaction hears of it.';

revoke all on function chimeway.ring_at_commit() from public;

do $$
begin
  -- A constraint trigger knows no "or replace".
  if not exists (
      select from pg_catalog.pg_trigger
      where tgrelid = 'chimeway.jobs'::regclass and tgname = 'ring_at_commit') then
    create constraint trigger ring_at_commit
      after insert on chimeway.jobs
      deferrable initially deferred
      for each row
      when (new.rings)
      execute function chimeway.ring_at_commit();
  end if;
end
$$;
