create or replace function chimeway.refuse_row(p_row chimeway.deliveries)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_problem constant text := chimeway.broken_rule(p_row);
begin
  raise exception 'chimeway.deliveries.%', v_problem
    using errcode = case when v_problem like '%written by chimeway only%'
        then 'insufficient_privilege' else 'check_violation' end,
      schema = 'chimeway', table = 'deliveries', column = split_part(v_problem, ':', 1);
end
$$;

comment on function chimeway.refuse_row(chimeway.deliveries) is
  'Raises what broken_rule says of a row to be inserted: 23514, or 42501 where a column of '
  'chimeway''s own was written; the message names the column.';

revoke all on function chimeway.refuse_row(chimeway.deliveries) from public;
