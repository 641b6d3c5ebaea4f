create or replace function chimeway.enqueue_jobs()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  -- Not before the transaction began, which is when its deliveries are due: the clock may have been
  -- set back since.
  v_now constant timestamptz := greatest(chimeway.clock(), now());
  v_ringer bigint;
begin
  -- An insert that was acknowledged must survive a crash of the server.
  if current_setting('synchronous_commit') = 'off' then
    perform set_config('synchronous_commit', 'on', true);
  end if;

  -- Mostly the daemons are awake, and nobody pays for a bell. A daemon that falls asleep from here
  -- on sees that we are at it (claim).
  if chimeway.is_bell_armed() then
    select min(n.position) into v_ringer from new_deliveries as n where n.scheduled_at <= v_now;
  end if;

  -- One statement, rules included: what the trigger costs a single row is the number of these.
  insert into chimeway.jobs (delivery_id, due_at, position, priority, rings, channel)
  select n.id,
    case when n.scheduled_at <= v_now then '-infinity' else n.scheduled_at end,
    n.position, n.priority, n.position is not distinct from v_ringer, n.channel
  from new_deliveries as n
  where case when chimeway.broken_rule(n) is null then true else chimeway.refuse_row(n) end;
  return null;
end
$$;

comment on function chimeway.enqueue_jobs() is
  'Checks new deliveries and queues them: (new) -> pending, with one job each, in the producer''s '
  'own transaction. While a daemon sleeps one job a statement rings the doorbell at commit. Refuses '
  'as refuse_row says.';

revoke all on function chimeway.enqueue_jobs() from public;

create or replace trigger enqueue_jobs
  after insert on chimeway.deliveries
  referencing new table as new_deliveries
  for each statement
  execute function chimeway.enqueue_jobs();
