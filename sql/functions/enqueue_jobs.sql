create or replace function chimeway.enqueue_jobs()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now constant timestamptz := chimeway.clock();
  v_problem text;
  v_ringer bigint;
begin
  -- An insert that was acknowledged must survive a crash of the server.
  if current_setting('synchronous_commit') = 'off' then
    perform set_config('synchronous_commit', 'on', true);
  end if;

  select min(chimeway.broken_rule(n)), min(n.position) filter (where n.scheduled_at <= v_now)
  into v_problem, v_ringer
  from new_deliveries as n;

  if v_problem is not null then
    raise exception 'chimeway.deliveries.%', v_problem
      using errcode = case when v_problem like '%written by chimeway only%'
          then 'insufficient_privilege' else 'check_violation' end,
        schema = 'chimeway', table = 'deliveries', column = split_part(v_problem, ':', 1);
  end if;

  insert into chimeway.jobs (delivery_id, due_at, position, priority, rings, channel)
  select n.id,
    case when n.scheduled_at <= v_now then '-infinity' else n.scheduled_at end,
    n.position, n.priority, n.position is not distinct from v_ringer, n.channel
  from new_deliveries as n;
  return null;
end
$$;

comment on function chimeway.enqueue_jobs() is
  'Checks new deliveries and queues them: (new) -> pending, with one job each, in the producer''s '
  'own transaction. One job a statement rings the doorbell at commit. Refuses with 23514, or with '
  '42501 where a column of chimeway''s own was written; the message names the column.';

revoke all on function chimeway.enqueue_jobs() from public;

create or replace trigger enqueue_jobs
  after insert on chimeway.deliveries
  referencing new table as new_deliveries
  for each statement
  execute function chimeway.enqueue_jobs();
